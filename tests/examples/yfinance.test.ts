import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseExchanges, recorded, Replay } from "../../examples/yfinance/exchanges.ts";
import { commitPoll, readQuoteMeta } from "../../examples/yfinance/quote_window.ts";
import { waitFor } from "../../examples/yfinance/schedule.ts";
import { readSymbols } from "../../examples/yfinance/symbols.ts";
import { type Poll, YahooQuotes } from "../../examples/yfinance/yahoo.ts";
import { start } from "../../src/index.ts";
import { Launched } from "./launch.ts";
import { flow, own, quoteRequest, quotes, recordings, refusal, YahooServer } from "./yahoo.ts";

setDefaultTimeout(60_000);

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "memblast-yfinance-"));
});
afterAll(() => rm(folder, { recursive: true }));

const prices = (...prices: number[]): Poll => ({ kind: "prices", prices });

describe("the window of quotes", () => {
  test("gets one column per poll; a failed one changes no price, and says why", async () => {
    await using node = await start("window", { shape: [2, 3] });
    node.write((a) => a.fill(NaN));
    const at = (second: number) => new Date(Date.UTC(2026, 0, 1, 0, 0, second));
    const failure: Poll = { kind: "failure", reason: "x".repeat(5000) };
    expect(commitPoll(node, failure, at(0))).toBe(1);
    expect(readQuoteMeta(node.meta)).toMatchObject({ tick: 0, failures: 1, failure: "x".repeat(300) });
    expect(commitPoll(node, prices(1, NaN), at(1))).toBe(0);
    expect(readQuoteMeta(node.meta)).toEqual({
      index: 0,
      tick: 1,
      time: "2026-01-01T00:00:01.000Z",
      failures: 0,
    });
    for (let second = 2; second <= 4; second++) commitPoll(node, prices(second, 10 * second), at(second));
    const before = node.ndarray().toArray();
    expect(before).toEqual([
      [4, 2, 3],
      [40, 20, 30],
    ]);
    expect([commitPoll(node, failure, at(5)), commitPoll(node, failure, at(6))]).toEqual([1, 2]);
    expect(node.ndarray().toArray()).toEqual(before);
    expect(readQuoteMeta(node.meta)).toMatchObject({ index: 0, tick: 4, failures: 2 });
    commitPoll(node, prices(NaN, 5), at(7));
    expect(node.ndarray().toArray()).toEqual([
      [4, NaN, 3],
      [40, 5, 30],
    ]);
    expect(readQuoteMeta(node.meta)).toEqual({
      index: 1,
      tick: 5,
      time: "2026-01-01T00:00:07.000Z",
      failures: 0,
    });
  });

  test("waits twice as long for each failure, as long as it is told to, and not for ever", () => {
    expect([0, 1, 2, 3].map((failures) => waitFor(30_000, failures))).toEqual([
      30_000, 60_000, 120_000, 240_000,
    ]);
    expect(waitFor(30_000, 50)).toBe(900_000);
    expect(waitFor(3_600_000, 2)).toBe(3_600_000);
    expect(waitFor(30_000, 1, 90_000)).toBe(90_000);
    expect(waitFor(30_000, 1, 1e12)).toBe(3_600_000);
  });
});

describe("--tickers", () => {
  const file = async (text: string) => {
    const path = join(folder, `${Bun.randomUUIDv7()}.csv`);
    await Bun.write(path, text);
    return path;
  };

  test("is a list, or a file with a column of symbols", async () => {
    expect(await readSymbols("msft, ^GSPC,BTC-USD,EURUSD=X,BRK-B,MSFT")).toEqual([
      "MSFT",
      "^GSPC",
      "BTC-USD",
      "EURUSD=X",
      "BRK-B",
    ]);
    expect(await readSymbols(await file("MSFT\nAAPL\n"))).toEqual(["MSFT", "AAPL"]);
    expect(
      await readSymbols(await file('name,"Symbol",shares\r\nApple,"aapl",5\r\nMicrosoft,MSFT,7\r\n')),
    ).toEqual(["AAPL", "MSFT"]);
  });

  test.each([
    ["MSFT,,AAPL", /has "", which is no symbol/],
    ["MSFT,A B", /has "A B"/],
    ["X".repeat(17), /is no symbol/],
    ["/no/such/file.csv", /there is no file/],
  ])("%j is refused", async (option, sentence) => {
    await expect(readSymbols(option)).rejects.toThrow(sentence);
  });

  test("an empty file is refused", async () => {
    const path = await file("symbol\n");
    await expect(readSymbols(path)).rejects.toThrow(/0 symbols/);
  });
});

describe("recordings", () => {
  test("what is recorded plays again the same, and has neither cookies nor crumbs", async () => {
    await using yahoo = new YahooServer([...flow, ...quotes({ MSFT: 1 }, { MSFT: 2, AAPL: 3 })]);
    const kept: unknown[] = [];
    const source = await YahooQuotes.open(
      ["MSFT", "AAPL"],
      recorded(yahoo.fetch, (one) => kept.push(one)),
    );
    const polls = [await source.poll(), await source.poll()];
    const json = JSON.stringify(kept);
    expect(json).not.toContain(yahoo.crumb);
    const replay = new Replay(parseExchanges(json));
    expect(replay.symbols).toEqual(["MSFT", "AAPL"]);
    const again = await YahooQuotes.open(["MSFT", "AAPL"], replay.fetch);
    expect([await again.poll(), await again.poll(), await again.poll()]).toEqual([...polls, polls[0]!]);
  });

  test.each(["{}", "[1]", '[{"request":{"url":"x"},"response":{"status":200}}]'])("%s is none", (json) => {
    expect(() => parseExchanges(json)).toThrow(/no recorded HTTP exchanges/);
  });

  test("the project's own hold every kind of trouble", () => {
    const statuses = own.map(({ response }) => response.status);
    expect([200, 302, 307, 401, 429].filter((status) => !statuses.includes(status))).toEqual([]);
  });
});

type Row = Record<string, string | number | null>;

/** The window after each of the first ticks of the recordings: prices by symbol, the oldest first; null is missing. */
function windows(ticks: number): Map<string, (number | null)[]>[] {
  type Quoted = { quoteResponse?: { result: { symbol: string; regularMarketPrice: number }[] } };
  const polls = own.flatMap(({ response }) => (response.bodyJson as Quoted | undefined)?.quoteResponse ?? []);
  const price = (symbol: string, tick: number) =>
    polls[tick % polls.length]?.result.find((quote) => quote.symbol === symbol)?.regularMarketPrice ?? null;
  return Array.from({ length: ticks }, (_, last) => {
    const all = Array.from({ length: last + 1 }, (_, tick) => tick).slice(-5);
    return new Map(
      ["AAPL", "GOOG", "MSFT"].map((symbol) => [symbol, all.map((tick) => price(symbol, tick))]),
    );
  });
}

/** Ticker, mean, min, max, change and volatility, as one would write them down. */
function statistics(window: ReturnType<typeof windows>[number]): (string | number | null)[][] {
  return [...window].map(([ticker, all]) => {
    const there = all.filter((price) => price !== null);
    const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
    const steps = there.slice(1).map((price, i) => price / there[i]! - 1);
    const spread = steps.reduce((sum, step) => sum + (step - mean(steps)) ** 2, 0);
    return [
      ...[ticker, mean(there), Math.min(...there), Math.max(...there)],
      100 * (there.at(-1)! / there[0]! - 1),
      steps.length < 2 ? null : 100 * Math.sqrt(spread / (steps.length - 1)),
    ];
  });
}

interface Line {
  version: Record<string, number>;
  meta: { index: number; tick: number; failure?: string; failures: number };
  tickers: { symbol: string; last: number | null; mean: number | null }[];
}

describe("yfinance_server.ts and yfinance_duckdb_client.ts", () => {
  test("plays the recordings; SQL gives mean, min, max, change and volatility of one window (oracle)", async () => {
    const { server, address } = await Launched.server(
      ...["yfinance/yfinance_server.ts", "--replay", recordings, "--interval", "0.1"],
    );
    await using _ = server;
    await using client = new Launched(["yfinance/yfinance_duckdb_client.ts", "--server", address, "--json"]);
    const possible = windows(60).map(statistics);
    const near = (a: number | null, b: number | null) =>
      a === b || (a !== null && b !== null && Math.abs(a - b) <= 1e-9 * Math.max(1, Math.abs(b)));
    const isOne = (rows: readonly Row[]) =>
      possible.some((wanted) =>
        wanted.every((row, r) =>
          row.every((cell, c) => {
            const seen = Object.values(rows[r] ?? {})[c];
            return typeof cell === "string" ? cell === seen : near(seen as number | null, cell);
          }),
        ),
      );
    const seen = new Set<string>();
    while (seen.size < 20) {
      const rows = await client.json<Row[]>();
      if (rows.length === 0) continue; // before the first poll
      if (!isOne(rows)) throw new Error(`no window has these statistics: ${JSON.stringify(rows)}`);
      seen.add(JSON.stringify(rows));
    }
    expect(Object.keys(JSON.parse([...seen][0] ?? "[]")[0])).toEqual([
      ...["ticker", "mean", "min", "max", "change %", "volatility %"],
    ]);
  });

  test("asks through --via, survives refusals and an outage, and writes nothing wrong", async () => {
    await using yahoo = new YahooServer([
      ...flow,
      ...quotes({ MSFT: 1, AAPL: 10 }, { MSFT: 2 }, { MSFT: 3, AAPL: 30 }),
    ]);
    await using server = new Launched([
      ...["yfinance/yfinance_server.ts", "--via", yahoo.url, "--tickers", "MSFT,AAPL", "--interval", "0.05"],
      ...["--listen", "127.0.0.1:0", "--json"],
    ]);
    const until = async (wanted: (line: Line) => boolean) => {
      for (;;) {
        const line = await server.json<Line>();
        if (line.meta && wanted(line)) return line;
      }
    };
    const last = ({ tickers }: Line) => tickers.map(({ last }) => last);
    expect(last(await until(({ meta }) => meta.tick === 1))).toEqual([1, 10]);
    expect(last(await until(({ meta }) => meta.tick === 2))).toEqual([2, null]);
    const busy = () =>
      new Response("Too Many Requests\r\n", { status: 429, statusText: "Too Many Requests" });
    yahoo.next.push(busy, busy, () => refusal(401, "Unauthorized", "Invalid Crumb"));
    const failed = await until(({ meta }) => meta.failures === 2);
    expect(failed.meta.failure).toBe("query2.finance.yahoo.com answers 429 Too Many Requests");
    const before = last(failed);
    const after = await until(({ meta }) => meta.failures === 0 && meta.tick > failed.meta.tick);
    expect(
      [before, last(after)].every((pair) =>
        [
          [1, 10],
          [2, null],
          [3, 30],
        ].some((one) => Bun.deepEquals(one, pair)),
      ),
    ).toBe(true);
    expect(yahoo.requests.filter((one) => one.endsWith("/getcrumb"))).toHaveLength(2);
    await yahoo[Symbol.asyncDispose]();
    const down = await until(({ meta }) => meta.failures === 3);
    expect(down.meta.failure).toMatch(/^Yahoo is out of reach/);
    expect(await server.stop()).toBe(0);
  });

  test("--record writes what --replay plays", async () => {
    const file = join(folder, "recorded.json");
    {
      await using yahoo = new YahooServer([...flow, ...quotes({ MSFT: 1.5 }, { MSFT: 2.5 })]);
      const { server } = await Launched.server(
        ...[
          "yfinance/yfinance_server.ts",
          "--via",
          yahoo.url,
          "--tickers",
          "MSFT",
          "--interval",
          "0.02",
          "--record",
          file,
        ],
      );
      await using _ = server;
      while (yahoo.requests.filter((one) => one === quoteRequest).length < 4) await Bun.sleep(5);
      await server.stop();
    }
    await using player = new Launched([
      ...[
        "yfinance/yfinance_server.ts",
        "--replay",
        file,
        "--interval",
        "0.05",
        "--listen",
        "127.0.0.1:0",
        "--json",
      ],
    ]);
    const seen = new Set<number | null>();
    while (seen.size < 3) seen.add((await player.json<Line>()).tickers[0]?.last ?? null);
    expect([...seen]).toEqual([null, 1.5, 2.5]);
  });

  test("plays a CSV file of prices, without yahoo-finance2", async () => {
    const file = join(folder, "prices.csv");
    await Bun.write(file, "symbol,date,price\nAAA,2020-01-01,1\nBBB,2020-01-02,2\n");
    await using player = new Launched([
      ...[
        "yfinance/yfinance_server.ts",
        "--replay",
        file,
        "--interval",
        "0.02",
        "--listen",
        "127.0.0.1:0",
        "--json",
      ],
    ]);
    let line = await player.json<Line>();
    while (line.meta?.tick !== 2) line = await player.json<Line>();
    expect(line.tickers).toEqual([
      { symbol: "AAA", last: null, mean: 1 },
      { symbol: "BBB", last: 2, mean: 2 },
    ]);
  });

  test("a wrong option is a sentence", async () => {
    const { status, err } = await new Launched(["yfinance/yfinance_server.ts", "--tickers", "A B"]).ended();
    expect({ status, err }).toEqual({
      status: 1,
      err: '--tickers has "A B", which is no symbol of Yahoo\'s\n',
    });
  });
});
