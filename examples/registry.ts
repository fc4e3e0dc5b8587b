/** The examples that `bun run examples` knows: one row each. */
import { tmpdir } from "node:os";
import { join } from "node:path";
import { peerNames } from "./peers.ts";

export interface ProgramRow {
  readonly label: string;
  /** Path from the folder of the registry. */
  readonly file: string;
  /** Its arguments, from the addresses at which the programs before it listen. */
  args(servers: readonly string[]): readonly string[];
}

export interface Example {
  readonly name: string;
  readonly about: string;
  /** Started in this order, each when the one before it is ready. */
  readonly programs: readonly ProgramRow[];
  /** An example that has made fewer versions in its time has failed. */
  readonly versionsMin: number;
}

const anyPort = "127.0.0.1:0";
const follow = ([server = ""]: readonly string[]) => ["--server", server];

/** Four peers that must know of each other before any of them listens: sockets with names instead of ports. */
function fourPeers(file: string, ...args: string[]): ProgramRow[] {
  const socket = (name: string) =>
    join(tmpdir(), `memblast-${process.pid}-${file.replace(".ts", "")}-${name}.sock`);
  const peers = peerNames.map((name) => `${name}=unix:${socket(name)}`).join(",");
  return peerNames.map((name) => ({
    label: `peer ${name}`,
    file,
    args: () => ["--name", name, "--peers", peers, ...args],
  }));
}

export const examples: readonly Example[] = [
  {
    name: "random",
    about: "a 10x10 array with a few random changes at a time, and two clients, one of which checks hashes",
    versionsMin: 10,
    programs: [
      { label: "server", file: "server.ts", args: () => ["--listen", anyPort, "--every", "50"] },
      { label: "client", file: "client.ts", args: follow },
      {
        label: "client --check-hash",
        file: "client.ts",
        args: (servers) => [...follow(servers), "--check-hash"],
      },
    ],
  },
  {
    name: "tickers",
    about: "real share prices in a circular window, their rolling mean, and SQL over the live buffer",
    versionsMin: 10,
    programs: [
      {
        label: "ticker_server",
        file: "tickers/ticker_server.ts",
        args: () => ["--listen", anyPort, "--source", "replay", "--every", "50"],
      },
      { label: "ticker_client", file: "tickers/ticker_client.ts", args: follow },
      { label: "ticker_duckdb_client", file: "tickers/ticker_duckdb_client.ts", args: follow },
    ],
  },
  {
    name: "slices",
    about:
      "100 tickers, of which four clients follow what they need: all, some rows, named rows, SQL over rows",
    versionsMin: 5,
    programs: [
      {
        label: "slice_server",
        file: "slices/slice_server.ts",
        args: () => ["--listen", anyPort, "--every", "100"],
      },
      { label: "slice_all_client", file: "slices/slice_all_client.ts", args: follow },
      { label: "slice_client", file: "slices/slice_client.ts", args: follow },
      { label: "slice_named_client", file: "slices/slice_named_client.ts", args: follow },
      { label: "slice_duckdb_client", file: "slices/slice_duckdb_client.ts", args: follow },
    ],
  },
  {
    name: "life",
    about: "Conway's Game of Life, 256x256 cells; one client follows all of it, another only a region",
    versionsMin: 10,
    programs: [
      {
        label: "life_server",
        file: "life/life_server.ts",
        args: () => ["--listen", anyPort, "--every", "50"],
      },
      { label: "life_client", file: "life/life_client.ts", args: follow },
      {
        label: "life_client --region",
        file: "life/life_client.ts",
        args: (servers) => [...follow(servers), "--region", "64,64,64,128"],
      },
    ],
  },
  {
    name: "heatmap",
    about: "sine waves as a heat map, every frame all new, in true colour on a terminal",
    versionsMin: 5,
    programs: [
      {
        label: "heatmap_server",
        file: "heatmap/heatmap_server.ts",
        args: () => ["--listen", anyPort],
      },
      { label: "heatmap_client", file: "heatmap/heatmap_client.ts", args: follow },
    ],
  },
  {
    name: "peer_split",
    about: "four peers, each owns a quadrant of one array, follows the other three and checks their hashes",
    versionsMin: 10,
    programs: fourPeers("peer_split.ts", "--every", "50"),
  },
  {
    name: "peer_stress",
    about: "four peers that write their quadrants as fast as they can, and end with the same bytes",
    versionsMin: 1000,
    programs: fourPeers("peer_stress.ts"),
  },
  {
    name: "peer_mesh",
    about: "four peers in a ring that all write the same cells: the last writer of each wins, everywhere",
    versionsMin: 10,
    programs: fourPeers("peer_mesh.ts", "--every", "20"),
  },
  {
    name: "nn_weights",
    about: "a network that is being trained; ONNX Runtime runs each version of its weights that arrives",
    versionsMin: 5,
    programs: [
      { label: "nn_server", file: "nn_weights/nn_server.ts", args: () => ["--listen", anyPort] },
      { label: "nn_client", file: "nn_weights/nn_client.ts", args: follow },
      {
        label: "nn_client --weights live",
        file: "nn_weights/nn_client.ts",
        args: (servers) => [...follow(servers), "--weights", "live"],
      },
    ],
  },
  {
    name: "sparse",
    about:
      "large weights of which a step changes one percent: what crosses the network, and how long it takes",
    versionsMin: 3,
    programs: [
      {
        label: "sparse_bench",
        file: "nn_weights/sparse_bench.ts",
        args: () => ["--listen", anyPort, "--wait", "--mib", "8", "--steps", "0"],
      },
      { label: "sparse_follower", file: "nn_weights/sparse_follower.ts", args: follow },
    ],
  },
  {
    name: "yfinance",
    about: "quotes of Yahoo Finance, here recorded ones with a refusal now and then, and SQL over the window",
    versionsMin: 10,
    programs: [
      {
        label: "yfinance_server",
        file: "yfinance/yfinance_server.ts",
        args: () => [
          ...["--listen", anyPort, "--interval", "0.05"],
          ...["--replay", join(import.meta.dir, "yfinance/quotes.json")],
        ],
      },
      { label: "yfinance_duckdb_client", file: "yfinance/yfinance_duckdb_client.ts", args: follow },
    ],
  },
  {
    name: "client_ws",
    about:
      "a web page on which any node's arrays are seen live; its own client, by WebSocket, holds the same values",
    versionsMin: 10,
    programs: [
      { label: "server", file: "server.ts", args: () => ["--listen", anyPort, "--every", "50"] },
      { label: "client_ws", file: "client_ws.ts", args: (servers) => [...follow(servers), "--port", "0"] },
    ],
  },
  {
    name: "ticker_page",
    about: "a web page with a sparkline per ticker",
    versionsMin: 10,
    programs: [
      {
        label: "ticker_server",
        file: "tickers/ticker_server.ts",
        args: () => ["--listen", anyPort, "--every", "50", "--tickers", "12"],
      },
      {
        label: "ticker_page",
        file: "tickers/ticker_page.ts",
        args: (servers) => [...follow(servers), "--port", "0"],
      },
    ],
  },
];
