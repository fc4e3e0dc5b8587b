// Live tables in a Database of duckdb-async, which is installed in the folder given. A process of its own: the native half of that package
// and of @duckdb/node-api are two DuckDBs. Prints a line for each thing that holds, and fails at the first one that does not.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { join } from "node:path";
import { dtypes, type Dtype, type TypedArray } from "../../../src/array/dtype.ts";
import { liveTable, type AsyncDatabase } from "../../../src/duckdb/index.ts";
import { start } from "../../../src/index.ts";

interface Database extends AsyncDatabase {
  close(): Promise<void>;
}

const { Database } = createRequire(join(process.argv[2]!, "package.json"))("duckdb-async") as {
  Database: { create(path: string): Promise<Database> };
};

const database = await Database.create(":memory:");
const rows = async (sql: string) => (await database.all(sql)).map((row) => Object.values(row)) as unknown[][];

async function holds(what: string, check: () => Promise<void>): Promise<void> {
  await check();
  console.log(what);
}

/** Small numbers, fractions, and at the end the extremes of the dtype. */
function fill(dtype: Dtype, data: TypedArray): void {
  const wide = data instanceof BigInt64Array || data instanceof BigUint64Array;
  const isFloat = dtype.startsWith("f");
  data.forEach((_, i, cells) => {
    const value = dtype === "bool" ? (i >> 1) & 1 : isFloat ? i / 4 - 3 : i % 100;
    cells[i] = (wide ? BigInt(value) : value) as never;
  });
  const last = data.length - 1;
  if (wide) data[last] = (dtype === "u64" ? 2n ** 64n - 1n : -(2n ** 63n)) as never;
  else if (isFloat) ((data[last] = NaN as never), (data[last - 1] = -Infinity as never));
  else if (dtype !== "bool") data[last] = (2 ** 31) as never; // wraps into the dtype
}

const plain = (dtype: Dtype, cell: number | bigint) => (dtype === "bool" ? cell !== 0 : cell);

await holds("dtypes", async () => {
  for (const dtype of dtypes)
    for (const along of ["first", "last"] as const) {
      await using node = await start("cells", { shape: [5, 3], dtype });
      node.write((a) => fill(dtype, a.data));
      await using _ = await liveTable(database, node, { name: "t", rows: along });
      const data = node.ndarray().data as TypedArray;
      const [count, columns] = along === "first" ? [5, 3] : [3, 5];
      const expected = Array.from({ length: count }, (_, row) =>
        Array.from({ length: columns }, (_, c) =>
          plain(dtype, data[along === "first" ? row * 3 + c : c * 3 + row]!),
        ),
      );
      assert.deepEqual(await rows("SELECT * FROM t"), expected, `${dtype} ${along}`);
      assert.deepEqual(
        await rows("SELECT c1 FROM t()"),
        expected.map((row) => [row[1]]),
      );
    }
});

await holds("follows", async () => {
  const shape = [5000, 3];
  await using node = await start("changes", { shape });
  await using _ = await liveTable(database, node, { name: "t" });
  let state = 17;
  const random = (below: number) => (state = (Math.imul(state, 1103515245) + 12345) >>> 0) % below;
  // few and many rows: both ways to name the changed ones, and all of them
  for (const cells of [1, 1, 40, 400, 3000, 0, 15_000, 2]) {
    node.write((a) => {
      if (cells === 15_000) a.fill(random(1000));
      else for (let i = 0; i < cells; i++) a.set(random(5000), random(3), random(1000));
    });
    const data = node.ndarray().data as Float64Array;
    const expected = Array.from({ length: 5000 }, (_, row) => [...data.subarray(row * 3, row * 3 + 3)]);
    assert.deepEqual(await rows("SELECT * FROM t"), expected, `${cells} cells`);
  }
});

await holds("one version", async () => {
  await using node = await start("versions", { shape: [20_000, 2], arrays: { w: { shape: [3] } } });
  const write = (value: number) =>
    node.write((a, tx) => {
      a.fill(value);
      tx.array("w").fill(value);
      tx.meta = value;
    });
  write(1);
  await using _ = await liveTable(database, node, {
    name: "t",
    rowCount: ({ meta }) => 10_000 + (meta as number),
    computed: { v: { type: "DOUBLE", value: (_, { meta }) => meta as number } },
  });
  await using __ = await liveTable(database, node, { name: "w", array: "w" });
  let value = 1;
  const timer = setInterval(() => write(++value), 0);
  const query = `SELECT min(t.c0) a, max(t.c1) b, min(v) c, max(w.c0) d, count(*) // 3 - 10000 e FROM t, w`;
  const seen = new Set<unknown>();
  for (let i = 0; i < 12; i++) {
    const now = value;
    // more at once than may be on their way
    const answers = await Promise.all(Array.from({ length: i === 5 ? 12 : 1 }, () => rows(query)));
    for (const [[a, b, c, d, e]] of answers as [[number, number, number, number, bigint]][]) {
      assert.deepEqual([b, c, d, Number(e)], [a, a, a, a]);
      assert.ok(a >= now, `version ${a} asked for at ${now}`);
      seen.add(a);
    }
  }
  clearInterval(timer);
  assert.ok(seen.size > 6);
});

await holds("statements", async () => {
  await using node = await start("statements", { shape: [10] });
  await using _ = await liveTable(database, node, { name: "t", columns: ["x"] });
  const statement = await database.prepare("SELECT max(x) AS x FROM t");
  for (const value of [1, 2, 3]) {
    node.write((a) => a.fill(value));
    assert.deepEqual(await statement.all(), [{ x: value }]);
    await database.exec("CREATE OR REPLACE TABLE copied AS SELECT * FROM t");
    node.write((a) => a.fill(-value));
    const streamed: unknown[] = [];
    for await (const row of database.stream("SELECT min(x) AS x FROM t")) streamed.push(row);
    assert.deepEqual(streamed, [{ x: -value }]);
    assert.deepEqual(await rows("SELECT DISTINCT x FROM copied"), [[value]]);
  }
  await database.exec("BEGIN");
  assert.deepEqual(await rows("SELECT max(x) FROM t"), [[-3]]);
  node.write((a) => a.fill(9));
  assert.deepEqual(await rows("SELECT max(x) FROM t"), [[-3]]); // a transaction keeps the version that it saw
  await database.exec("COMMIT");
  assert.deepEqual(await rows("SELECT max(x) FROM t"), [[9]]);
});

await holds("errors", async () => {
  await using node = await start("gone", { shape: [2] });
  const live = await liveTable(database, node, { name: "gone_table" });
  await assert.rejects(liveTable(database, node, { name: "gone_table" }), /close the one before/);
  const angry = { type: "DOUBLE" as const, value: () => assert.fail("no such row") };
  await assert.rejects(liveTable(database, node, { name: "angry", computed: { angry } }), /no such row/);
  let isAngry = false;
  const moody = {
    type: "BIGINT" as const,
    value: (row: number) => (isAngry ? assert.fail("no such row") : BigInt(row)),
  };
  {
    await using _ = await liveTable(database, node, { name: "moody", computed: { moody } });
    isAngry = true;
    node.write((a) => a.fill(1));
    await assert.rejects(rows("SELECT * FROM moody"), /no such row/);
    assert.deepEqual(await rows("SELECT 41"), [[41]]);
    isAngry = false;
    assert.deepEqual(await rows("SELECT * FROM moody"), [
      [1, 0n],
      [1, 1n],
    ]);
  }
  await node.close();
  await assert.rejects(rows("SELECT * FROM gone_table"), /gone is closed/);
  assert.deepEqual(await rows("SELECT 42"), [[42]]);
  await live.close();
  await live.close();
  await assert.rejects(rows("SELECT * FROM gone_table"), /gone_table does not exist/);
  assert.deepEqual(Object.keys(database), ["db"]); // its methods are its own again
});

await holds("the end", async () => {
  await using node = await start("end", { shape: [1000, 4] });
  const live = await liveTable(database, node, { name: "t" });
  node.write((a) => a.fill(1));
  const asked = rows("SELECT sum(c0) FROM t");
  await Promise.all([asked, database.close()]);
  assert.deepEqual(await asked, [[1000]]);
  await live.close();
});
