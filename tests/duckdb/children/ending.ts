// Ends something while DuckDB's threads scan a live table, and says what became of the query. An own table behaves the same: DuckDB may
// forget a query whose connection is closed under it, so the answer is not waited for.
import { DuckDBInstance } from "@duckdb/node-api";
import { liveTable } from "../../../src/duckdb/index.ts";
import { start } from "../../../src/index.ts";

const [what, delay] = process.argv.slice(2) as [string, string];

const instance = await DuckDBInstance.create(":memory:");
const connection = await instance.connect();
const node = await start("ending", { shape: [600_000, 4] });
node.write((a) => a.fill(1));
const table = await liveTable(connection, node, { name: "t" });
const answer = connection
  .runAndReadAll("SELECT sum(a.c0 + b.c1), stddev(a.c2) FROM t a, (SELECT * FROM t LIMIT 4) b")
  .then(
    () => "the answer",
    () => "an error",
  );
if (Number(delay) >= 0) await Bun.sleep(Number(delay));
if (what === "node") await node.close();
else if (what === "table") await table.close();
else if (what === "exit") process.exit(0);
else connection.closeSync();
if (what === "instance") instance.closeSync();
console.log(await Promise.race([answer, Bun.sleep(200).then(() => "no answer")]));
process.exit(0);
