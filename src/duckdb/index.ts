/** SQL over a live array with DuckDB. Needs the package `@duckdb/node-api`, or `duckdb-async`, beside memblast. */
export type { AsyncDatabase } from "./async-database.ts";
export { liveTable } from "./live-table.ts";
export type { LiveArray, LiveCopy, LiveNode, LiveView } from "./snapshot.ts";
export type { Computed, LiveTable, LiveTableOptions, SeenVersion } from "./table.ts";
