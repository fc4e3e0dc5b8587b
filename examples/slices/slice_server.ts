/** Serves the last prices of 100 tickers: one row per ticker, of which clients follow those that they need. */
import { start, type NdArray, type Transaction } from "../../src/index.ts";
import { commandLine, flag, number, text } from "../options.ts";
import { program } from "../program.ts";
import { seeded } from "../random.ts";
import { randomWalk, symbolsFor } from "../tickers/quotes.ts";
import type { WindowMeta } from "../tickers/window.ts";
import { overview, wholeHoldings } from "./slice_view.ts";

const options = commandLine({
  command: "bun examples/slices/slice_server.ts",
  about: "Serves an f64 array of [tickers, window]: a random walk per ticker, one new column at a time.",
  flags: {
    listen: text("127.0.0.1:7020", "where to listen", "ADDRESS"),
    tickers: number(100, "how many rows", "N", { min: 1, max: 100_000 }),
    window: number(5, "how many columns; the oldest is overwritten by the newest", "N", { min: 1 }),
    every: number(1000, "milliseconds between columns", "MS", { min: 1 }),
    seed: number(1, "seed of the random walk", "N"),
    json: flag("prints a JSON line for each version"),
  },
  examples: [
    "bun examples/slices/slice_server.ts",
    "bun examples/slices/slice_server.ts --tickers 1000 --every 100",
  ],
});

await program(options, async (self) => {
  const { listen, tickers, window } = options;
  await using node = await start("slice_server", { listen, shape: [tickers, window] });
  const walk = randomWalk(symbolsFor(tickers), seeded(options.seed));
  let tick = 0;
  const addColumn = (a: NdArray, tx: Transaction) => {
    const index = tick++ % window;
    walk.next().prices.forEach((price, row) => a.set(row, index, price));
    tx.meta = { index, tick, time: new Date().toISOString() } satisfies WindowMeta;
  };
  node.write((a, tx) => {
    for (let i = 0; i < window; i++) addColumn(a, tx);
  });

  const view = overview(node, self.ink);
  const show = () => self.show(view(`listens on ${node.addresses.join(", ")}`));
  self.every(options.every, () => {
    node.write(addColumn);
    show();
  });
  self.reports(() => ({ versions: {}, digests: {}, values: {}, problems: [], ...wholeHoldings(node) }));
  self.ready(node.addresses, () => node.version["slice_server"] ?? 0);
  show();
  await self.stopped;
});
