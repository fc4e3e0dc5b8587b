/** Serves share prices: a circular window of the last ticks, one row per ticker. */
import { start, type Node } from "../../src/index.ts";
import { choice, commandLine, flag, number, optionalText, text } from "../options.ts";
import { digests } from "../digests.ts";
import { program } from "../program.ts";
import { seeded } from "../random.ts";
import { parseTickers, randomWalk, replay, symbolsFor, type QuoteSource } from "./quotes.ts";
import stocks from "./stocks.csv" with { type: "text" };
import { means, tickerView } from "./ticker_view.ts";
import { encodeSymbols, readMeta, symbolBytes, type WindowMeta } from "./window.ts";

const options = commandLine({
  command: "bun examples/tickers/ticker_server.ts",
  about: "Serves the last prices of some tickers in a circular window: an f64 array of [tickers, window].",
  flags: {
    listen: text("127.0.0.1:7011", "where to listen", "ADDRESS"),
    tickers: optionalText("symbols with commas, or how many (random: MSFT,AAPL,GOOG; replay: all)", "LIST|N"),
    window: number(390, "ticks kept; 390 are the minutes of a trading day", "N", { min: 1, max: 1_000_000 }),
    source: choice(["random", "replay"], "a random walk, or real monthly prices of 2000 to 2010"),
    replay: optionalText("a CSV file of symbol,date,price to replay instead", "FILE"),
    every: number(1000, "milliseconds between ticks", "MS", { min: 1 }),
    seed: number(1, "seed of the random walk", "N"),
    json: flag("prints a JSON line for each version"),
  },
  examples: [
    "bun examples/tickers/ticker_server.ts",
    "bun examples/tickers/ticker_server.ts --source replay --every 100",
    "bun examples/tickers/ticker_server.ts --tickers 100 --window 1000 --listen 0.0.0.0:7011",
  ],
});

async function quotes(): Promise<QuoteSource> {
  const wanted = parseTickers(options.tickers ?? "");
  if (options.replay !== undefined) return replay(await Bun.file(options.replay).text(), wanted);
  if (options.source === "replay") return replay(stocks, wanted);
  return randomWalk(symbolsFor(wanted ?? ["MSFT", "AAPL", "GOOG"]), seeded(options.seed));
}

/** Writes the next column; one tick is one version. */
function tick(node: Node, source: QuoteSource): void {
  const { window } = options;
  const { prices, date } = source.next();
  const before = readMeta(node.meta);
  const index = before ? (before.index + 1) % window : 0;
  node.write((a, tx) => {
    prices.forEach((price, row) => a.set(row, index, price));
    const time = new Date().toISOString();
    tx.meta = { index, tick: (before?.tick ?? 0) + 1, time, ...(date && { date }) } satisfies WindowMeta;
  });
}

await program(options, async (self) => {
  const source = await quotes();
  const { symbols } = source;
  await using node = await start("tickers", {
    listen: options.listen,
    shape: [symbols.length, options.window],
    arrays: { symbols: { shape: [symbols.length, symbolBytes], dtype: "u8" } },
  });
  node.write((a, tx) => {
    a.fill(NaN);
    tx.array("symbols").assign(encodeSymbols(symbols));
  });

  const view = tickerView(node, self.ink, () => `listens on ${node.addresses.join(", ")}`);
  self.every(options.every, () => {
    tick(node, source);
    self.show(view);
  });
  self.reports(() => ({
    versions: {},
    digests: digests(node, "symbols"),
    values: means(node),
    problems: [],
  }));
  self.ready(node.addresses, () => node.version["tickers"] ?? 0);
  self.show(view);
  await self.stopped;
});
