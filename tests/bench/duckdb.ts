import { DuckDBInstance } from "@duckdb/node-api";
import { liveTable } from "../../src/duckdb/index.ts";
import { start } from "../../src/index.ts";
import { type Bench, median } from "./measure.ts";

/** The query over the live table, and over a table of DuckDB's with the same rows; a cell is committed before each round. */
function scanOf(name: string, select: string): Bench {
  return {
    name,
    unit: "ms",
    aim: 1 / 3,
    aimOf: "ratio",
    isTime: true,
    against: `DuckDB's own table of 1 M x 4 f64: ${select}`,
    async open(ms) {
      const rows = ms < 10 ? 10_000 : 1_000_000;
      const node = await start("bench-duckdb", { shape: [rows, 4] });
      node.write((a) => (a.data as Float64Array).forEach((_, i, cells) => (cells[i] = i / 2)));
      const instance = await DuckDBInstance.create(":memory:");
      const connection = await instance.connect();
      const table = await liveTable(connection, node, { name: "live" });
      await connection.run("CREATE TABLE own AS SELECT * FROM live");
      let cell = 0;
      const rounds = async (from: string) => {
        const times: number[] = [];
        for (const end = performance.now() + ms; performance.now() < end || times.length < 3;) {
          node.write((a) => a.set(++cell % rows, 0, cell));
          const begun = Bun.nanoseconds();
          await connection.runAndReadAll(`${select} FROM ${from}`);
          times.push((Bun.nanoseconds() - begun) / 1e6);
        }
        return median(times);
      };
      return {
        value: () => rounds("live"),
        limit: () => rounds("own"),
        async close() {
          await table.close();
          connection.closeSync();
          instance.closeSync();
          await node.close();
        },
      };
    },
  };
}

export const duckdbBenches: readonly Bench[] = [
  scanOf("duckdb-scan", "SELECT sum(c0), sum(c1), sum(c2), sum(c3)"),
  scanOf("duckdb-column", "SELECT sum(c0)"),
];
