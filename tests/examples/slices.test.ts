import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { seeded } from "../../examples/random.ts";
import { chosenTickers } from "../../examples/slices/slice_options.ts";
import { randomWalk, symbolsFor } from "../../examples/tickers/quotes.ts";
import { Launched } from "./launch.ts";

setDefaultTimeout(60_000);

interface Line {
  version: Record<string, number>;
  meta: { index: number; tick: number };
  tickers: Record<string, number[]>;
}

/** The rows of a server with --seed 9 at every tick: the walk written into the columns in turn. */
class History {
  readonly #walk = randomWalk(symbolsFor(100), seeded(9));
  readonly #ticks: number[][][] = [Array.from({ length: 100 }, () => [NaN, NaN, NaN, NaN, NaN])];

  at(tick: number): number[][] {
    for (let t = this.#ticks.length; t <= tick; t++) {
      const { prices } = this.#walk.next();
      const before = this.#ticks[t - 1] ?? [];
      this.#ticks.push(before.map((row, i) => row.with((t - 1) % 5, prices[i] ?? NaN)));
    }
    return this.#ticks[tick] ?? [];
  }

  /** The tick at which rows 2 and 50 were these, in the first thousand. */
  tickOf(row2: readonly number[], row50: readonly number[]): number {
    const same = (a: readonly number[] = [], b: readonly number[]) => a.every((price, i) => price === b[i]);
    this.at(1000);
    return this.#ticks.findIndex((rows) => same(rows[2], row2) && same(rows[50], row50));
  }
}

test("--tickers takes each row once, and three if nothing is said", () => {
  expect(chosenTickers()).toEqual([2, 50, 75]);
  expect(chosenTickers([7, 1, 7])).toEqual([7, 1]);
});

describe("slice_server.ts and its clients", () => {
  const history = new History();
  let server: Launched;
  let address: string;
  beforeAll(async () => {
    ({ server, address } = await Launched.server("slices/slice_server.ts", "--every", "50", "--seed", "9"));
  });
  afterAll(async () => {
    expect(await server.stop()).toBe(0);
  });
  const client = (file: string, ...args: string[]) =>
    new Launched([`slices/${file}.ts`, "--server", address, ...args]);

  test.each([
    ["slice_client", [], [2, 50, 75]],
    ["slice_client", ["--tickers", "99,0"], [99, 0]],
    ["slice_named_client", [], [2, 50, 75]],
    ["slice_named_client", ["--tickers", "7"], [7]],
    ["slice_all_client", [], Array.from({ length: 100 }, (_, i) => i)],
  ])("%s %j has its rows as the server wrote them, version by version", async (file, args, tickers) => {
    await using program = client(file, ...args, "--json");
    let before = 0;
    for (let i = 0; i < 4; i++) {
      const { meta, tickers: rows, version } = await program.json<Line>();
      expect(meta.tick).toBeGreaterThan(before);
      before = meta.tick;
      expect(meta.index).toBe((meta.tick - 1) % 5);
      expect(version[address]).toBe(meta.tick - 4);
      const all = history.at(meta.tick);
      expect(rows).toEqual(Object.fromEntries(tickers.map((ticker) => [ticker, all[ticker] ?? []])));
    }
    expect(await program.stop()).toBe(0);
  });

  test("--window follows that many columns of the rows", async () => {
    await using program = client("slice_client", "--window", "2", "--tickers", "3", "--json");
    const { meta, tickers } = await program.json<Line>();
    expect(tickers).toEqual({ 3: history.at(meta.tick)[3]?.slice(0, 2) ?? [] });
  });

  test("SQL sees the rows: mean, least, greatest, deviation, and what a user asks", async () => {
    const sql = `SELECT avg(ticker_2) AS mean, max(ticker_50) AS top, list(ticker_2 ORDER BY slot) AS row2,
      list(ticker_50 ORDER BY slot) AS row50 FROM prices`;
    await using program = client("slice_duckdb_client", "--tickers", "2,50", "--sql", sql, "--json");
    let before = 0;
    for (let later = 0; later < 3;) {
      const [row] = await program.json<[{ mean: number; top: number; row2: number[]; row50: number[] }]>();
      // Both rows are of one version, and never of an earlier one.
      const tick = history.tickOf(row.row2, row.row50);
      expect(tick).toBeGreaterThanOrEqual(before);
      if (tick > before) later++;
      before = tick;
      expect(row.mean).toBeCloseTo(row.row2.reduce((sum, price) => sum + price, 0) / 5, 9);
      expect(row.top).toBe(Math.max(...row.row50));
    }
    expect(await program.stop()).toBe(0);
    await using plain = client("slice_duckdb_client");
    await plain.matches(
      /^SQL over live memory, follows .*, connected; ticker_2( [\d.]+){4}, ticker_50( [\d.]+){4}, ticker_75( [\d.]+){4}$/m,
    );
    expect(plain.output).not.toContain("\x1b");
  });

  test("a slice costs a small part of what everything costs", async () => {
    const received = async (file: string) => {
      await using program = client(file);
      const [, kib] = await program.matches(/tick \d+[^;]*; ([\d.]+) KiB received.*\n.* KiB/);
      return Number(kib);
    };
    const [some, all] = [await received("slice_client"), await received("slice_all_client")];
    expect(some * 3).toBeLessThan(all);
  });

  test("on a terminal it is a table in colour that refreshes in place", async () => {
    await using program = new Launched(["slices/slice_client.ts", "--server", address], {
      terminal: { columns: 100, rows: 30 },
    });
    await program.matches(/\x1b\[3[12]m[\d.]+ [▲▼]/);
    await program.matches(/\x1b\[6A/);
    expect(Bun.stripANSI(program.output)).toContain(
      "ticker  newest      mean     [0]     [1]     [2]     [3]     [4]",
    );
    await using all = new Launched(["slices/slice_all_client.ts", "--server", address], {
      terminal: { columns: 120, rows: 30 },
      env: { NO_COLOR: "1" },
    });
    await all.matches(/90( +[\d.]+ [▲▼ ]){9}/);
    expect(all.output).not.toMatch(/\x1b\[\d+(;\d+)*m/);
    for (const each of [program, all]) expect(await each.stop()).toBe(0);
  });

  test.each([
    ["slice_client", ["--tickers", "100"], 1, "outside the array's [100, 5]"],
    ["slice_named_client", ["--window", "6"], 1, "outside the array's [100, 5]"],
    ["slice_client", ["--tickers", "2,b"], 2, "--tickers must be whole numbers"],
    ["slice_duckdb_client", ["--sql", "SELECT ticker_9 FROM prices"], 1, "ticker_9"],
  ])("%s %j ends with status %d and a sentence", async (file, args, status, sentence) => {
    await using program = client(file, ...args);
    expect(await program.ended()).toMatchObject({ status, err: expect.stringContaining(sentence) });
  });

  test("--help of every program has an example that names it", async () => {
    for (const name of ["server", "client", "named_client", "all_client", "duckdb_client"]) {
      await using program = new Launched([`slices/slice_${name}.ts`, "--help"]);
      const { out, status } = await program.ended();
      expect(status).toBe(0);
      expect(out).toContain(`  bun examples/slices/slice_${name}.ts`);
    }
  });
});
