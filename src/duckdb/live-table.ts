import type { DuckDBConnection } from "@duckdb/node-api";
import { fail } from "../errors.ts";
import type { AsyncDatabase } from "./async-database.ts";
import { layoutOf } from "./layout.ts";
import type { LiveNode } from "./snapshot.ts";

/** The version that a query sees. */
export interface SeenVersion {
  readonly version: number;
  readonly meta: unknown;
}

/** A column that is no part of the array: computed for the rows that a query reads, if it uses the column at all. */
export interface Computed {
  readonly type: "BIGINT" | "DOUBLE" | "VARCHAR";
  /** A number for DOUBLE, a bigint for BIGINT, a string for VARCHAR; null is NULL. */
  value(row: number, seen: SeenVersion): number | bigint | string | null;
}

export interface LiveTableOptions {
  /** The table's name in SQL: `FROM name` and `FROM name()` both work. */
  readonly name: string;
  /** The named array to show; the main array if left out. */
  readonly array?: string;
  /** Names of the columns, in order; `c0`, `c1`, ... if left out. */
  readonly columns?: readonly string[];
  /**
   * Rows are the first dimension and columns the rest of the shape, in C order (`"first"`, the default); or rows are
   * the last dimension and columns what stands before it (`"last"`: a [ticker, time] array has a column per ticker).
   */
  readonly rows?: "first" | "last";
  /** How many of the rows are valid in the version seen; all of them if left out. */
  readonly rowCount?: (seen: SeenVersion) => number;
  /** Further columns, by name. */
  readonly computed?: Readonly<Record<string, Computed>>;
}

/** A table over live memory. `close()`, or the end of `await using`, takes its name from the connection. */
export interface LiveTable extends AsyncDisposable {
  readonly name: string;
  readonly columns: readonly string[];
  close(): Promise<void>;
}

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
