import { expect, setDefaultTimeout, test } from "bun:test";
import { DuckDBInstance } from "@duckdb/node-api";
import { liveTable } from "../../src/duckdb/index.ts";
import { start } from "../../src/index.ts";

setDefaultTimeout(30_000);

test("SQL over a node of its own and over a follower: the newest version, named arrays, and CLOSED at the end", async () => {
  const instance = await DuckDBInstance.create(":memory:");
  const connection = await instance.connect();
  const one = async (sql: string) => (await connection.runAndReadAll(sql)).getRowsJS()[0] as unknown[];

  await using source = await start("duckdb-source", {
    listen: "127.0.0.1:0",
    shape: [5000, 2],
    arrays: { weights: { shape: [3], dtype: "f32" } },
  });
  await using follower = await start("duckdb-follower", { server: source.addresses[0] as string });
  await using _ = await liveTable(connection, source, { name: "own", columns: ["a", "b"] });
  await using __ = await liveTable(connection, follower, { name: "followed", columns: ["a", "b"] });
  await using ___ = await liveTable(connection, follower, { name: "weights", array: "weights" });

  for (const value of [1, 2, 3]) {
    source.write((a, tx) => {
      a.fill(value);
      a.set(4999, 1, -value);
      tx.array("weights").fill(value * 10);
    });
    const expected = [5000 * value, 4999 * value - value, 5000n];
    expect(await one("SELECT sum(a), sum(b), count(*) FROM own")).toEqual(expected);
    while ((follower.version[source.addresses[0] as string] ?? 0) < source.version["duckdb-source"]!)
      await Bun.sleep(1);
    expect(await one("SELECT sum(a), sum(b), count(*) FROM followed")).toEqual(expected);
    expect(await one("SELECT min(c0), max(c0) FROM weights")).toEqual([value * 10, value * 10]);
    expect(await one("SELECT count(*) FROM own, followed WHERE own.b < 0 AND followed.b < 0")).toEqual([1n]);
  }

  await follower.close();
  await expect(one("SELECT sum(a) FROM followed")).rejects.toThrow(/duckdb-follower is closed/);
  expect(await one("SELECT sum(a) FROM own")).toEqual([15_000]);
  connection.closeSync();
  instance.closeSync();
});
