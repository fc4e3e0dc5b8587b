import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { DuckDBInstance, type DuckDBConnection } from "@duckdb/node-api";
import fc from "fast-check";
import { dtypes, newView, type Dtype, type TypedArray } from "../../src/array/dtype.ts";
import { liveTable, type LiveNode } from "../../src/duckdb/index.ts";

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

/** A node of one or two arrays whose reads are counted, and whose commits the test makes by hand. */
class HandNode implements LiveNode {
  version = 1;
  meta: unknown = undefined;
  reads = 0;
  onRead: (() => void) | undefined;
  readonly #main: { dtype: Dtype; shape: number[]; data: TypedArray };
  readonly #named: Record<string, { dtype: Dtype; shape: number[]; data: TypedArray }>;

  constructor(dtype: Dtype, shape: number[], data: TypedArray, named = {}) {
    this.#main = { dtype, shape, data };
    this.#named = named;
  }

  read: LiveNode["read"] = (use) => {
    this.reads++;
    const { version, meta } = this;
    const result = use(this.#main, {
      version,
      meta,
      array: (name) => this.#named[name] ?? this.#main,
    });
    this.onRead?.();
    return result;
  };
}

const counting = (shape: number[]) => {
  const size = shape.reduce((a, b) => a * b, 1);
  return new HandNode(
    "f64",
    shape,
    new Float64Array(size).map((_, i) => i),
  );
};

describe("shape", () => {
  test("rows are the first dimension, columns the second; view and macro both work", async () => {
    await using table = await liveTable(connection, counting([3, 2]), { name: "t", columns: ["a", "b"] });
    expect(table.columns).toEqual(["a", "b"]);
    const all = [
      [0, 1],
      [2, 3],
      [4, 5],
    ];
    expect(await rows("FROM t")).toEqual(all);
    expect(await rows("FROM t()")).toEqual(all);
    expect(await rows("SELECT b, a FROM t WHERE b > 1 ORDER BY a DESC")).toEqual([
      [5, 4],
      [3, 2],
    ]);
  });

  test("rows may be the last dimension", async () => {
    await using _ = await liveTable(connection, counting([2, 3]), { name: "t", rows: "last" });
    expect(await rows("SELECT c0, c1 FROM t")).toEqual([
      [0, 3],
      [1, 4],
      [2, 5],
    ]);
  });

  test("0, 1 and 3 dimensions", async () => {
    for (const [shape, expected] of [
      [[], [[0]]],
      [[2], [[0], [1]]],
      [
        [2, 2, 2],
        [
          [0, 1, 2, 3],
          [4, 5, 6, 7],
        ],
      ],
    ] as [number[], number[][]][]) {
      await using _ = await liveTable(connection, counting(shape), { name: "t" });
      expect(await rows("FROM t")).toEqual(expected);
    }
  });

  test("any shape, any projection, more rows than one batch: equal to the array (oracle)", async () => {
    const parameters = { seed: 20_241, numRuns: 25 };
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 5000 }),
        fc.integer({ min: 1, max: 4 }),
        fc.constantFrom("first" as const, "last" as const),
        fc.nat(3),
        async (rowCount, columnCount, along, pick) => {
          const node = counting(along === "first" ? [rowCount, columnCount] : [columnCount, rowCount]);
          await using _ = await liveTable(connection, node, { name: "t", rows: along });
          const column = pick % columnCount;
          const expected = Array.from({ length: rowCount }, (_, row) =>
            along === "first" ? row * columnCount + column : column * rowCount + row,
          );
          expect((await rows(`SELECT c${column} FROM t`)).flat()).toEqual(expected);
        },
      ),
      parameters,
    );
  });
});

describe("dtypes", () => {
  const extremes: Record<Dtype, [TypedArray, unknown[], string]> = {
    bool: [Uint8Array.of(0, 1), [false, true], "BOOLEAN"],
    i8: [Int8Array.of(-128, 127), [-128, 127], "TINYINT"],
    u8: [Uint8Array.of(0, 255), [0, 255], "UTINYINT"],
    i16: [Int16Array.of(-32768, 32767), [-32768, 32767], "SMALLINT"],
    u16: [Uint16Array.of(0, 65535), [0, 65535], "USMALLINT"],
    i32: [Int32Array.of(-2147483648, 2147483647), [-2147483648, 2147483647], "INTEGER"],
    u32: [Uint32Array.of(0, 4294967295), [0, 4294967295], "UINTEGER"],
    i64: [BigInt64Array.of(-(2n ** 63n), 2n ** 63n - 1n), [-(2n ** 63n), 2n ** 63n - 1n], "BIGINT"],
    u64: [BigUint64Array.of(0n, 2n ** 64n - 1n), [0n, 2n ** 64n - 1n], "UBIGINT"],
    f16: [Float16Array.of(-65504, 0.5), [-65504, 0.5], "FLOAT"],
    f32: [Float32Array.of(1e-45, -Infinity), [Math.fround(1e-45), -Infinity], "FLOAT"],
    f64: [Float64Array.of(NaN, -0), [NaN, -0], "DOUBLE"],
  };

  test.each([...dtypes])("%s keeps its smallest and largest, side by side and strided", async (dtype) => {
    const [data, expected, type] = extremes[dtype];
    {
      await using _ = await liveTable(connection, new HandNode(dtype, [2], data), { name: "t" });
      expect((await rows("FROM t")).flat()).toEqual(expected);
      expect(await one("SELECT typeof(c0) FROM t LIMIT 1")).toBe(type);
    }
    const pairs = newView(dtype, 4);
    for (let i = 0; i < 4; i++) pairs[i] = data[i >> 1] as never;
    await using _ = await liveTable(connection, new HandNode(dtype, [2, 2], pairs), { name: "t" });
    expect((await rows("SELECT c1 FROM t")).flat()).toEqual(expected);
  });
});

describe("one version", () => {
  /** Commits in the middle of everything: each read is followed by a change of all cells. */
  function restless(size: number) {
    const data = new Float64Array(size).fill(1);
    const node = new HandNode("f64", [size], data);
    node.onRead = () => {
      node.version++;
      data.fill(node.version);
    };
    return { node, data };
  }

  test("a query never sees what is committed while it runs", async () => {
    const { node, data } = restless(100_000);
    await using _ = await liveTable(connection, node, { name: "t" });
    const timer = setInterval(() => {
      node.version++;
      data.fill(node.version);
    }, 0);
    for (let i = 0; i < 10; i++) expect(await one("SELECT count(DISTINCT c0) FROM t")).toBe(1n);
    clearInterval(timer);
  });

  test("a table named twice is the same version twice, and so is a recursive query", async () => {
    const { node } = restless(10);
    await using _ = await liveTable(connection, node, { name: "t" });
    const first = (await one("SELECT sum(a.c0 - b.c0) FROM t a, t() b")) as number;
    expect(first).toBe(0);
    const before = node.reads;
    await rows(
      "WITH RECURSIVE r(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM r, t WHERE n < 3) SELECT count(*) FROM r",
    );
    expect(node.reads).toBe(before + 1);
  });

  test("the next query, also of a prepared statement, sees the newest version", async () => {
    const { node } = restless(10);
    await using _ = await liveTable(connection, node, { name: "t" });
    const prepared = await connection.prepare("SELECT max(c0) FROM t");
    const seen: unknown[] = [];
    for (let i = 0; i < 3; i++) seen.push((await (await prepared.run()).getRowsJS())[0]?.[0]);
    expect(new Set(seen).size).toBe(3);
  });

  test("a transaction keeps the version that its first query saw", async () => {
    const { node } = restless(10);
    await using _ = await liveTable(connection, node, { name: "t" });
    await connection.run("BEGIN");
    const seen = [await one("SELECT max(c0) FROM t"), await one("SELECT max(c0) FROM t")];
    await connection.run("COMMIT");
    expect(seen[0]).toBe(seen[1] as number);
    expect(await one("SELECT max(c0) FROM t")).not.toBe(seen[0] as number);
  });

  test("a streamed result keeps its version while commits go on between its batches", async () => {
    const { node, data } = restless(50_000);
    await using _ = await liveTable(connection, node, { name: "t" });
    for (const limit of [50_000, 5_000]) {
      const seen = new Set<unknown>();
      const result = await connection.stream(`SELECT c0 FROM t LIMIT ${limit}`);
      for (
        let chunk = await result.fetchChunk();
        chunk && chunk.rowCount > 0;
        chunk = await result.fetchChunk()
      ) {
        for (const value of chunk.getColumnValues(0)) seen.add(value);
        node.version++;
        data.fill(node.version);
      }
      expect(seen.size).toBe(1);
    }
  });
});

describe("options", () => {
  test("rowCount cuts the table, within the array", async () => {
    const node = counting([5]);
    await using _ = await liveTable(connection, node, { name: "t", rowCount: ({ meta }) => meta as number });
    for (const [meta, expected] of [
      [2, 2n],
      [0, 0n],
      [9, 5n],
      [-1, 0n],
      [NaN, 0n],
    ] as const) {
      node.meta = meta;
      node.version++;
      expect(await one("SELECT count(*) FROM t")).toBe(expected);
    }
  });

  test("computed columns see row, version and metadata, and are computed only when asked for", async () => {
    const node = counting([3]);
    node.meta = { offset: 10 };
    let calls = 0;
    await using _ = await liveTable(connection, node, {
      name: "t",
      computed: {
        row: { type: "BIGINT", value: (row) => BigInt(row) },
        label: { type: "VARCHAR", value: (row) => (calls++, row === 1 ? null : `r${row}`) },
        moved: { type: "DOUBLE", value: (row, { meta }) => row / 2 + (meta as { offset: number }).offset },
      },
    });
    expect(await rows("SELECT row, moved, c0 FROM t")).toEqual([
      [0n, 10, 0],
      [1n, 10.5, 1],
      [2n, 11, 2],
    ]);
    expect(calls).toBe(0);
    expect((await rows("SELECT label FROM t")).flat()).toEqual(["r0", null, "r2"]);
  });

  test("array names the array", async () => {
    const weights = { dtype: "f32", shape: [2], data: Float32Array.of(7, 8) };
    const node = new HandNode("f64", [1], Float64Array.of(0), { w: weights });
    await using _ = await liveTable(connection, node, { name: "t", array: "w" });
    expect((await rows("FROM t")).flat()).toEqual([7, 8]);
  });

  test("names are quoted", async () => {
    await using _ = await liveTable(connection, counting([1, 2]), {
      name: 'a "b" c',
      columns: ["x y", 'q"'],
    });
    expect(await rows('SELECT "x y", "q""" FROM "a ""b"" c"')).toEqual([[0, 1]]);
  });

  test("something else than a connection is refused", async () => {
    await expect(liveTable({} as never, counting([1]), { name: "t" })).rejects.toThrow(/takes a connection/);
  });

  test("columns that do not fit, and twins, are refused at once", async () => {
    await expect(liveTable(connection, counting([2, 3]), { name: "t", columns: ["a"] })).rejects.toThrow(
      /has 3 columns.*names 1/,
    );
    await expect(liveTable(connection, counting([2, 2]), { name: "t", columns: ["a", "A"] })).rejects.toThrow(
      /two columns named A/,
    );
  });
});

describe("the end", () => {
  test("a closed table has no name any more, and close may be called twice", async () => {
    const table = await liveTable(connection, counting([1]), { name: "gone" });
    await table.close();
    await table.close();
    await expect(rows("FROM gone")).rejects.toThrow(/gone/);
    await expect(rows("FROM gone()")).rejects.toThrow(/gone/);
  });

  test("a name in use is refused, and free again after close", async () => {
    const first = await liveTable(connection, counting([1]), { name: "again" });
    await expect(liveTable(connection, counting([2]), { name: "again" })).rejects.toThrow(
      /close the one before/,
    );
    expect(await one("SELECT count(*) FROM again")).toBe(1n);
    await first.close();
    await using _ = await liveTable(connection, counting([2]), { name: "again" });
    expect(await one("SELECT count(*) FROM again")).toBe(2n);
  });

  test("what the node throws is the query's error", async () => {
    const node = counting([1]);
    await using _ = await liveTable(connection, node, { name: "t" });
    node.read = () => {
      throw new Error("the node prices has been closed");
    };
    await expect(rows("FROM t")).rejects.toThrow("the node prices has been closed");
    expect(await one("SELECT 42")).toBe(42);
  });

  test("what a computed column throws is the query's error", async () => {
    const value = () => {
      throw new Error("no such row");
    };
    await using _ = await liveTable(connection, counting([1]), {
      name: "t",
      computed: { bad: { type: "DOUBLE", value } },
    });
    await expect(rows("SELECT bad FROM t")).rejects.toThrow("no such row");
    expect(await one("SELECT c0 FROM t")).toBe(0);
  });
});
