/** SQL over a live array with DuckDB. Needs the package `@duckdb/node-api` beside memblast. */
export {
  liveTable,
  type Computed,
  type LiveTable,
  type LiveTableOptions,
  type SeenVersion,
} from "./live-table.ts";
export type { LiveArray, LiveNode, LiveView } from "./snapshot.ts";
