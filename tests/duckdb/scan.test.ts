import { clean } from "../../src/memory/listing.ts";
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { DuckDBInstance, type DuckDBConnection } from "@duckdb/node-api";
import fc from "fast-check";
import { join } from "node:path";
import { dtypes, type Dtype, type TypedArray } from "../../src/array/dtype.ts";
import { liveTable, type LiveTableOptions } from "../../src/duckdb/index.ts";
import { NativeScans } from "../../src/duckdb/native.ts";
import { attach, start, type Node } from "../../src/index.ts";
import { uniqueName } from "../memory/names.ts";

setDefaultTimeout(30_000);

let instance: DuckDBInstance;
let connection: DuckDBConnection;

beforeAll(async () => {
  instance = await DuckDBInstance.create(":memory:");
  connection = await instance.connect();
});

afterAll(() => {
  connection.closeSync();
  instance.closeSync();
});

const rows = async (sql: string) => (await connection.runAndReadAll(sql)).getRowsJS() as unknown[][];
const one = async (sql: string) => (await rows(sql))[0]?.[0];

type Route = "native" | "js";
const routes: Route[] = ["native", "js"];

/** A live table that is scanned by DuckDB's threads, or by callbacks in JavaScript. */
async function table(route: Route, node: Node, options: LiveTableOptions) {
  const before = process.env["MEMBLAST_DUCKDB_SCAN"] ?? "";
  process.env["MEMBLAST_DUCKDB_SCAN"] = route;
  try {
    return await liveTable(connection, node, options);
  } finally {
    process.env["MEMBLAST_DUCKDB_SCAN"] = before;
  }
}

/** Random bits, as elements that SQL can give back. */
function randomCells(dtype: Dtype, data: TypedArray, seed: number): void {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  for (let i = 0, state = seed | 1; i < bytes.length; i++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    bytes[i] = dtype === "bool" ? (state >>> 16) & 1 : state >>> 16;
  }
}

const asSql = (dtype: Dtype, cell: number | bigint) => (dtype === "bool" ? cell !== 0 : cell);

test("the native route is the one that is taken here", async () => {
  expect(await NativeScans.open()).not.toBeNull();
});

describe.each(routes)("values by the %s route", (route) => {
  const parameters = { seed: 77_031, numRuns: 12 };

  test.each([...dtypes])("%s: any bits, shape and projection are the array's (oracle)", async (dtype) => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 6000 }),
        fc.integer({ min: 1, max: 5 }),
        fc.constantFrom("first" as const, "last" as const),
        fc.uniqueArray(fc.nat(4), { minLength: 1, maxLength: 5 }),
        fc.nat(),
        async (rowCount, columnCount, along, picks, seed) => {
          const shape = along === "first" ? [rowCount, columnCount] : [columnCount, rowCount];
          await using node = await start("cells", { shape, dtype });
          node.write((a) => randomCells(dtype, a.data, seed));
          await using _ = await table(route, node, { name: "t", rows: along });
          const columns = [...new Set(picks.map((pick) => pick % columnCount))];
          const data = node.ndarray().data as TypedArray;
          const at = (row: number, c: number) =>
            asSql(dtype, data[along === "first" ? row * columnCount + c : c * rowCount + row]!);
          const expected = Array.from({ length: rowCount }, (_, row) => columns.map((c) => at(row, c)));
          expect(await rows(`SELECT ${columns.map((c) => `c${c}`).join(", ")} FROM t`)).toEqual(expected);
        },
      ),
      parameters,
    );
  });

  test("f16: each of the 65,536 halves becomes its float", async () => {
    await using node = await start("halves", { shape: [65_536], dtype: "f16" });
    node.write((a) => {
      const { buffer, byteOffset } = a.data;
      new Uint16Array(buffer, byteOffset, 65_536).forEach((_, i, bits) => (bits[i] = i));
    });
    await using _ = await table(route, node, { name: "t" });
    expect((await rows("SELECT c0 FROM t")).flat()).toEqual([...(node.ndarray().data as Float16Array)]);
  });
});

describe("order and counts, with more rows than a thread takes at once", () => {
  const rowCount = 400_000;
  let node: Node;

  beforeAll(async () => {
    node = await start("order", { shape: [rowCount, 2], dtype: "i32" });
    node.write((a) => (a.data as Int32Array).forEach((_, i, cells) => (cells[i] = i)));
  });
  afterAll(() => node.close());

  test("rows come in the array's order, also behind an offset, a filter and a window", async () => {
    await using _ = await table("native", node, {
      name: "t",
      computed: { row: { type: "BIGINT", value: BigInt } },
    });
    expect(
      await one("SELECT count(*) FROM (SELECT c0, row_number() OVER () AS n FROM t) WHERE c0 <> 2 * (n - 1)"),
    ).toBe(0n);
    expect(await rows("SELECT c1 FROM t LIMIT 2 OFFSET 300000")).toEqual([[600_001], [600_003]]);
    expect(await rows("SELECT c0, row FROM t WHERE c0 >= 599998 LIMIT 2")).toEqual([
      [599_998, 299_999n],
      [600_000, 300_000n],
    ]);
    const all = (await rows("SELECT c0 FROM t")).flat();
    expect(all.length).toBe(rowCount);
    expect(all.every((cell, i) => cell === 2 * i)).toBe(true);
  });

  test("each row is there once, whatever the number of threads", async () => {
    await using _ = await table("native", node, { name: "t" });
    for (const threads of [1, 2, 7]) {
      await connection.run(`SET threads = ${threads}`);
      expect(await rows("SELECT count(*), count(DISTINCT c0), sum(c1) FROM t")).toEqual([
        [BigInt(rowCount), BigInt(rowCount), BigInt(rowCount) ** 2n],
      ]);
    }
    await connection.run("RESET threads");
  });
});

describe.each(routes)("one version by the %s route", (route) => {
  test("while this process commits between and within queries", async () => {
    const rowCount = route === "native" ? 300_000 : 20_000;
    await using node = await start("busy", { shape: [rowCount, 2] });
    await using _ = await table(route, node, {
      name: "t",
      computed: { v: { type: "DOUBLE", value: (_, { meta }) => meta as number } },
    });
    let writes = 0;
    const write = () => node.write((a, tx) => void (a.fill(++writes), (tx.meta = writes)));
    write();
    const timer = setInterval(write, 0);
    const seen = new Set<unknown>();
    for (let i = 0; i < 12; i++) {
      const [least, most, version, count] = (
        await rows("SELECT min(c0), max(c1), any_value(v), count(*) FROM t")
      )[0]!;
      expect([least, version, count]).toEqual([most, most, BigInt(rowCount)]);
      seen.add(most);
    }
    clearInterval(timer);
    expect(seen.size).toBeGreaterThan(6);
  });

  test("of several tables of a node", async () => {
    await using node = await start("several", {
      shape: [50_000],
      arrays: { w: { shape: [3], dtype: "f32" } },
    });
    const write = (value: number) =>
      node.write((a, tx) => {
        a.fill(value);
        tx.array("w").fill(value);
      });
    write(1);
    await using _ = await table(route, node, { name: "t" });
    await using __ = await table(route, node, { name: "w", array: "w" });
    let value = 1;
    const timer = setInterval(() => write(++value), 0);
    for (let i = 0; i < 20; i++) expect(await one("SELECT count(*) FROM t, w WHERE t.c0 <> w.c0")).toBe(0n);
    clearInterval(timer);
    expect(value).toBeGreaterThan(5);
  });
});

test("one version while another process commits as fast as it can", async () => {
  const name = uniqueName("sql");
  const child = Bun.spawn(["bun", join(import.meta.dir, "children/saturate.ts"), name], {
    stdout: "pipe",
    stderr: "inherit",
  });
  await child.stdout.getReader().read();
  {
    await using node = await attach(name);
    await using _ = await table("native", node, {
      name: "t",
      computed: { v: { type: "DOUBLE", value: (_, { meta }) => meta as number } },
    });
    const seen = new Set<unknown>();
    for (const end = performance.now() + 700; performance.now() < end;) {
      // the writer fills everything with the number that it puts into the metadata
      const [least, most, version] = (
        await rows("SELECT least(min(c0), min(c1)), greatest(max(c0), max(c1)), max(v) FROM t")
      )[0]!;
      expect([least, version]).toEqual([most, most]);
      seen.add(most);
    }
    expect(seen.size).toBeGreaterThan(5);
  }
  child.kill("SIGKILL");
  await child.exited;
  expect(clean({ names: [name] })).toEqual([name]);
}, 20_000);

describe("the end of things in the middle of a scan", () => {
  // In a process of its own each: what is to be shown is that it does not crash.
  test.each([
    ["node", 0],
    ["node", 3],
    ["table", 1],
    ["connection", -1],
    ["connection", 0],
    ["connection", 2],
    ["connection", 15],
    ["instance", 4],
    ["exit", 5],
  ])(
    "the %s, after %d ms",
    async (what, delay) => {
      const child = Bun.spawn(["bun", join(import.meta.dir, "children/ending.ts"), what, String(delay)], {
        stdout: "pipe",
        stderr: "pipe",
      });
      const [output, errors, code] = await Promise.all([
        new Response(child.stdout).text(),
        new Response(child.stderr).text(),
        child.exited,
      ]);
      expect([code, child.signalCode, errors]).toEqual([0, null, ""]);
      if (what !== "exit") expect(output).toMatch(/^(the answer|an error|no answer)\n$/);
    },
    20_000,
  );

  test("copies are given back", async () => {
    const before = process.memoryUsage.rss();
    for (let i = 0; i < 30; i++) {
      const node = await start("freed", { shape: [1_000_000, 2] });
      node.write((a) => a.fill(i));
      const live = await table("native", node, { name: "t" });
      expect(await one("SELECT max(c0) FROM t")).toBe(i);
      const half = await connection.stream("SELECT c1 FROM t"); // never read to its end
      await half.fetchChunk();
      node.write((a) => a.fill(-1));
      expect(await one("SELECT max(c0) FROM t")).toBe(-1);
      await live.close();
      await node.close();
    }
    expect(process.memoryUsage.rss() - before).toBeLessThan(200e6); // each copy is 16 MB
  }, 20_000);
});
