import type { DuckDBConnection } from "@duckdb/node-api";
import { fail } from "../errors.ts";
import type { AsyncDatabase } from "./async-database.ts";
import { layoutOf } from "./layout.ts";
import type { LiveNode } from "./snapshot.ts";
import type { LiveTable, LiveTableOptions } from "./table.ts";

/**
 * Makes the committed image of `node` a table of `connection`, whose name is known there only. A query asks the node when it starts, sees
 * one version from its first row to its last however often it names the table, and reads only the columns it uses. Between `BEGIN` and
 * `COMMIT` all queries see the version that the first one saw. All of that holds for several tables of one node together.
 *
 * `connection` is one of `@duckdb/node-api`: nothing is stored in a table of DuckDB's, its threads read a copy of the array that costs
 * what commits change. Or it is a `Database` of `duckdb-async`: before each of its queries (not of connections that it opens) the rows
 * that changed are written into a table.
 *
 * Errors: INVALID_OPTION for columns that do not fit the array, EXISTS for a name in use. What the node throws later (CLOSED after its
 * end) becomes the error of the query.
 */
export async function liveTable(
  connection: DuckDBConnection | AsyncDatabase,
  node: LiveNode,
  options: LiveTableOptions,
): Promise<LiveTable> {
  const layout = layoutOf(node, options);
  // Imported when it is needed: who uses one of the drivers need not have the other.
  if ("registerTableFunction" in connection) {
    const { openScanned } = await import("./scan-driver.ts");
    return openScanned(connection, node, layout, options);
  }
  if (!("register_udf" in connection))
    fail(
      "INVALID_OPTION",
      "liveTable takes a connection of @duckdb/node-api 1.5.6 or later, or a Database of duckdb-async",
    );
  const { openWritten } = await import("./async-driver.ts");
  return openWritten(connection, node, layout, options);
}
