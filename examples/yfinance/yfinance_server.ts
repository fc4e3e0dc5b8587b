/** Serves real quotes of Yahoo Finance: a circular window of the last polls, one row per ticker. */
import { type Node, start } from "../../src/index.ts";
import { digests } from "../digests.ts";
import { commandLine, flag, number, optionalText, text } from "../options.ts";
import { program, type Program, type View } from "../program.ts";
import { replay as replayCsv } from "../tickers/quotes.ts";
import { means, tickerView } from "../tickers/ticker_view.ts";
import { encodeSymbols, symbolBytes } from "../tickers/window.ts";
import { type Exchange, type Fetch, parseExchanges, recorded, Replay } from "./exchanges.ts";
import { commitPoll, readQuoteMeta } from "./quote_window.ts";
import { waitFor } from "./schedule.ts";
import { readSymbols } from "./symbols.ts";
import { type Poll, type Quotes, YahooQuotes } from "./yahoo.ts";

const options = commandLine({
  command: "bun examples/yfinance/yfinance_server.ts",
  about: `Asks Yahoo Finance for quotes again and again and serves the last ones in a circular window: an f64 array of
[tickers, window], one column per poll. A price that is missing is NaN. A poll that fails changes no price; it is shown, is in the
metadata, and the next one waits twice as long.`,
  flags: {
    listen: text("127.0.0.1:7012", "where to listen", "ADDRESS"),
    tickers: optionalText(
      "symbols with commas, or a CSV file of them (MSFT,AAPL,GOOG; all of a replay)",
      "LIST|FILE",
    ),
    window: number(5, "polls kept", "N", { min: 1, max: 1_000_000 }),
    interval: number(30, "seconds between polls", "S", { min: 0.01, max: 86_400, whole: false }),
    replay: optionalText("plays this instead: a recording, or a CSV file of symbol,date,price", "FILE"),
    record: optionalText("records what Yahoo answers, for --replay", "FILE"),
    via: optionalText("asks this server instead, at URL/HOST/PATH for https://HOST/PATH", "URL"),
    json: flag("prints a JSON line for each version"),
  },
  examples: [
    "bun examples/yfinance/yfinance_server.ts",
    "bun examples/yfinance/yfinance_server.ts --tickers portfolio.csv --window 120 --interval 60",
    "bun examples/yfinance/yfinance_server.ts --replay examples/yfinance/quotes.json --interval 1",
  ],
});

async function quotes(): Promise<Quotes> {
  const { replay, tickers } = options;
  const symbols = tickers === undefined ? undefined : await readSymbols(tickers);
  if (replay !== undefined && /\.csv$/i.test(replay))
    return csvQuotes(await Bun.file(replay).text(), symbols);
  if (replay !== undefined) {
    const recording = new Replay(parseExchanges(await Bun.file(replay).text()));
    return YahooQuotes.open(symbols ?? recording.symbols, recording.fetch);
  }
  return YahooQuotes.open(symbols ?? ["MSFT", "AAPL", "GOOG"], network());
}

function csvQuotes(csv: string, wanted: readonly string[] | undefined): Quotes {
  const source = replayCsv(csv, wanted);
  return { symbols: source.symbols, poll: async () => ({ kind: "prices", ...source.next() }) };
}

function network(): Fetch {
  const { via, record } = options;
  const send: Fetch = (url, init) =>
    fetch(via === undefined ? url : url.replace(/^https:\/\//, `${via.replace(/\/$/, "")}/`), init);
  if (record === undefined) return send;
  const exchanges: Exchange[] = [];
  return recorded(send, (exchange) => {
    exchanges.push(exchange);
    void Bun.write(record, `${JSON.stringify(exchanges, null, 1)}\n`);
  });
}

/** Polls for as long as the program runs. What comes in is committed by a timer, which the runner can stop. */
function poll(self: Program, source: Quotes, commit: (poll: Poll) => number): { nextAt: () => number } {
  let nextAt = 0;
  let arrived: Poll | undefined;
  let isAsking = false;
  self.every(10, () => {
    if (arrived) {
      const done = arrived;
      arrived = undefined;
      const waitMs = waitFor(
        options.interval * 1000,
        commit(done),
        done.kind === "failure" ? done.waitMs : 0,
      );
      nextAt = performance.now() + waitMs;
    } else if (!isAsking && performance.now() >= nextAt) {
      isAsking = true;
      void source.poll().then((poll) => {
        arrived = poll;
        isAsking = false;
      }, self.fail);
    }
  });
  return { nextAt: () => nextAt };
}

await program(options, async (self) => {
  const source = await quotes();
  const { symbols } = source;
  await using node = await start("yfinance", {
    listen: options.listen,
    shape: [symbols.length, options.window],
    arrays: { symbols: { shape: [symbols.length, symbolBytes], dtype: "u8" } },
  });
  node.write((a, tx) => {
    a.fill(NaN);
    tx.array("symbols").assign(encodeSymbols(symbols));
  });

  const polls = poll(self, source, (done) => {
    const failures = commitPoll(node, done, new Date());
    if (done.kind === "failure")
      self.say(`poll ${failures > 1 ? `failed ${failures} times` : "failed"}: ${done.reason}`);
    show();
    return failures;
  });
  const view = quoteView(node, self, () =>
    Math.max(0, Math.round((polls.nextAt() - performance.now()) / 1000)),
  );
  const show = () => self.show(view);
  self.every(1000, show);
  self.reports(() => ({
    versions: {},
    digests: digests(node, "symbols"),
    values: means(node),
    problems: [],
  }));
  self.ready(node.addresses, () => node.version["yfinance"] ?? 0);
  show();
  await self.stopped;
});

/** The window, and below it what is wrong just now. */
function quoteView(node: Node, self: Program, nextInSeconds: () => number): View {
  const title = () => `listens on ${node.addresses.join(", ")}, next poll in ${nextInSeconds()} s`;
  const view = tickerView(node, self.ink, title);
  const problem = () => {
    const meta = readQuoteMeta(node.meta);
    return meta?.failure ? [`last poll failed (${meta.failures} in a row): ${meta.failure}`] : [];
  };
  return {
    lines: () => [...view.lines(), ...problem().map((text) => self.ink.down(text))],
    line: () => [view.line(), ...problem()].join("; "),
    json: () => ({ ...(view.json?.() as object), meta: readQuoteMeta(node.meta) ?? null }),
  };
}
