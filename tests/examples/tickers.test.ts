import { describe, expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import { seeded } from "../../examples/random.ts";
import { parseTickers, randomWalk, replay, symbolsFor } from "../../examples/tickers/quotes.ts";
import stocks from "../../examples/tickers/stocks.csv" with { type: "text" };
import {
  decodeSymbols,
  encodeSymbols,
  inOrder,
  mean,
  readMeta,
  symbolBytes,
  tickOf,
  validColumns,
} from "../../examples/tickers/window.ts";

setDefaultTimeout(30_000);

describe("the circular window", () => {
  test("in order is what a plain list of the last ticks would be (oracle)", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 40 }), (window, ticks) => {
        const row = new Float64Array(window).fill(NaN);
        const all: number[] = [];
        for (let tick = 1; tick <= ticks; tick++) {
          all.push(tick * 10);
          row[(tick - 1) % window] = tick * 10;
        }
        const meta = { index: (ticks - 1) % window, tick: ticks, time: "now" };
        expect(inOrder(row, meta)).toEqual(all.slice(-window));
        expect(validColumns(meta, window)).toBe(Math.min(window, ticks));
        for (let c = 0; c < validColumns(meta, window); c++) {
          expect(tickOf(c, meta, window) * 10).toBe(row[c] as number);
        }
      }),
    );
  });

  test("the mean leaves out missing prices, and is NaN without any", () => {
    expect(mean([1, NaN, 3])).toBe(2);
    expect(mean([NaN])).toBeNaN();
    expect(mean([])).toBeNaN();
  });

  test("metadata of another kind is none", () => {
    expect(readMeta({ index: 3, tick: 4, time: "t" })).toEqual({ index: 3, tick: 4, time: "t" });
    for (const other of [
      undefined,
      null,
      5,
      { index: -1, tick: 1, time: "t" },
      { index: 1.5, tick: 2, time: "t" },
    ]) {
      expect(readMeta(other)).toBeUndefined();
    }
    expect(validColumns(undefined, 5)).toBe(0);
  });

  test("symbols come back from their bytes", () => {
    const symbols = ["A", "MSFT", "BRK.B", "ÖSTERREICH", "X".repeat(symbolBytes)];
    expect(encodeSymbols(symbols)).toHaveLength(symbols.length * symbolBytes);
    expect(decodeSymbols(encodeSymbols(symbols))).toEqual(symbols);
  });
});

describe("replay of stocks.csv", () => {
  test("plays every date in order, with NaN before GOOG went public, and starts over", () => {
    const source = replay(stocks, undefined);
    expect(source.symbols).toEqual(["MSFT", "AMZN", "IBM", "GOOG", "AAPL"]);
    const quotes = Array.from({ length: 124 }, () => source.next());
    expect(quotes[0]).toEqual({ date: "Jan 1 2000", prices: [39.81, 64.56, 100.52, NaN, 25.94] });
    expect(quotes[122]?.date).toBe("Mar 1 2010");
    expect(quotes[122]?.prices[4]).toBe(223.02);
    expect(quotes[123]).toEqual(quotes[0] as (typeof quotes)[0]);
    const first = quotes.findIndex(({ prices }) => !Number.isNaN(prices[3]));
    expect(quotes[first]?.date).toBe("Aug 1 2004");
    expect(quotes.slice(first, 123).some(({ prices }) => Number.isNaN(prices[3]))).toBe(false);
  });

  test("plays the wanted symbols, in the wanted order", () => {
    expect(replay(stocks, ["AAPL", "MSFT"]).next().prices).toEqual([25.94, 39.81]);
    expect(replay(stocks, 2).symbols).toEqual(["MSFT", "AMZN"]);
    expect(() => replay(stocks, ["TSLA"])).toThrow(
      "no prices for TSLA; there are MSFT, AMZN, IBM, GOOG, AAPL",
    );
  });

  test.each([
    ["a,b\n", /starts with/],
    ["symbol,date,price\n", /no line with a price/],
    ["symbol,date,price\nA,Jan 1 2000,1\nA,Feb 1 2000\n", /line 3 /],
    ["symbol,date,price\nA,someday,1\n", /line 2 /],
    ["symbol,date,price\nA,Jan 1 2000,x\n", /line 2 /],
  ])("refuses a broken file: %j", (csv, sentence) => {
    expect(() => replay(csv, undefined)).toThrow(sentence);
  });
});

test("a random walk is the same for the same seed, and stays a price", () => {
  const walk = (seed: number) => {
    const source = randomWalk(["A", "B"], seeded(seed));
    return Array.from({ length: 500 }, () => source.next().prices);
  };
  expect(walk(1)).toEqual(walk(1));
  expect(walk(1)).not.toEqual(walk(2));
  expect(
    walk(3)
      .flat()
      .every((price) => price > 0 && price < 10_000),
  ).toBe(true);
});

describe("--tickers", () => {
  test("is a list, a number or nothing", () => {
    expect(parseTickers("")).toBeUndefined();
    expect(parseTickers("3")).toBe(3);
    expect(parseTickers("MSFT, AAPL")).toEqual(["MSFT", "AAPL"]);
    expect(symbolsFor(3)).toEqual(["AAA", "AAB", "AAC"]);
    expect(new Set(symbolsFor(20_000)).size).toBe(20_000);
  });
  test.each(["0", "A,,B", "A,A", "X".repeat(17)])("refuses %j", (text) => {
    expect(() => parseTickers(text)).toThrow("--tickers");
  });
});
