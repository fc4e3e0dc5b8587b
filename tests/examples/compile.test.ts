import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inOrder, decodeSymbols, readMeta } from "../../examples/tickers/window.ts";
import { start } from "../../src/index.ts";

setDefaultTimeout(30_000);

const root = join(import.meta.dir, "../..");
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "memblast-compile-"));
});
afterAll(() => rm(folder, { recursive: true }));

test("the ticker server as one executable, alone in an empty folder, serves a client", async () => {
  const executable = join(folder, "ticker_server");
  const build = Bun.spawnSync(
    [process.execPath, "build", "--compile", "examples/tickers/ticker_server.ts", "--outfile", executable],
    { cwd: root },
  );
  expect(build.stderr.toString()).not.toContain("error");
  expect(build.exitCode).toBe(0);

  const args = ["--listen", "127.0.0.1:0", "--source", "replay", "--every", "5", "--window", "8"];
  const { NODE_PATH: _, ...env } = process.env;
  const address = Promise.withResolvers<string>();
  await using server = Bun.spawn([executable, ...args], {
    cwd: folder,
    env,
    serialization: "json",
    stdio: ["ignore", "inherit", "inherit"],
    ipc: (message: { kind: string; addresses: string[] }) => {
      if (message.kind === "ready") address.resolve(message.addresses[0] as string);
    },
    onExit: (_, code) => address.reject(new Error(`the executable ended with ${code}`)),
  });

  await using node = await start("compile-test", { server: await address.promise });
  await node.ready;
  for await (const _ of node.updates()) {
    if ((readMeta(node.meta)?.tick ?? 0) >= 8) break;
  }
  const { symbols, prices } = node.read((a, view) => ({
    symbols: decodeSymbols(view.array("symbols").data as Uint8Array),
    prices: inOrder(a.row(0).data as Float64Array, readMeta(view.meta) as never),
  }));
  expect(symbols).toEqual(["MSFT", "AMZN", "IBM", "GOOG", "AAPL"]);
  expect(prices).toHaveLength(8);
  expect(prices.every((price) => price > 10 && price < 60)).toBe(true);
  server.kill("SIGTERM");
  expect(await server.exited).toBe(0);
}, 60_000);
