import { BIGINT, DuckDBTableFunction, type DuckDBConnection } from "@duckdb/node-api";
import { sizeOf } from "../array/shape.ts";
import { fail } from "../errors.ts";
import { computedTypes, duckdbTypes, fillComputed } from "./columns.ts";
import { arrayColumn, TableScan, type ScanColumn } from "./scan.ts";
import { Snapshots, type LiveNode } from "./snapshot.ts";

/** The version that a query sees. */
export interface SeenVersion {
  readonly version: number;
  readonly meta: unknown;
}

/** A column that is no part of the array: computed for the rows that a query reads, if it uses the column at all. */
export interface Computed {
  readonly type: keyof typeof computedTypes;
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

let tables = 0;

/**
 * Makes the committed image of `node` a table of `connection`. Nothing is stored in a table of DuckDB's: a query asks
 * the node when it starts, sees one version from its first row to its last however often it names the table, and reads
 * only the columns it uses. Between `BEGIN` and `COMMIT` all queries see the version that the first one saw.
 *
 * The name belongs to this connection. Errors: INVALID_OPTION for columns that do not fit the array, EXISTS for a name in use. What the node
 * throws later (CLOSED after its end) becomes the error of the query.
 */
export async function liveTable(
  connection: DuckDBConnection,
  node: LiveNode,
  options: LiveTableOptions,
): Promise<LiveTable> {
  const snapshots = new Snapshots(node, options.array ?? null);
  const { dtype, shape } = snapshots.describe();
  const layout = layoutOf(shape, options.rows ?? "first");
  const columns = [
    ...columnNames(options, layout.columns).map((name, c) =>
      arrayColumn(name, duckdbTypes[dtype], c * layout.columnStep, layout.rowStep),
    ),
    ...Object.entries(options.computed ?? {}).map(([name, one]) => computedColumn(name, one)),
  ];
  refuseTwins(options.name, columns);
  const scan = new TableScan(
    options.name,
    snapshots,
    columns,
    layout.rows,
    options.rowCount ?? (() => layout.rows),
  );
  const drop = await register(connection, options.name, scan);
  const close = async () => {
    if (scan.closed) return;
    scan.closed = true;
    // A connection that is closed already has no names to give back.
    await drop().catch(() => {});
  };
  return {
    name: options.name,
    columns: columns.map(({ name }) => name),
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** Registers the table function under a name of its own, and the view and the macro through which SQL reaches it. */
async function register(
  connection: DuckDBConnection,
  table: string,
  scan: TableScan,
): Promise<() => Promise<void>> {
  const name = `"${table.replaceAll('"', '""')}"`;
  const scanName = `memblast_scan_${++tables}`;
  connection.registerTableFunction(
    DuckDBTableFunction.create({
      name: scanName,
      namedParameterTypes: { transaction: BIGINT },
      supportsProjectionPushdown: true,
      bindFunction: guarded((info) => scan.bind(info)),
      initFunction: guarded((info) => scan.init(info)),
      mainFunction: guarded((info, chunk) => scan.produce(info, chunk)),
    }),
  );
  // Two scans know by the transaction's number that they belong to one query, and only SQL can ask for it.
  const select = `SELECT * FROM ${scanName}(transaction := txid_current()::BIGINT)`;
  try {
    await connection.run(`CREATE TEMP VIEW ${name} AS ${select}`);
    await connection.run(`CREATE TEMP MACRO ${name}() AS TABLE ${select}`);
  } catch (error) {
    fail(
      "EXISTS",
      `DuckDB has no room for a live table "${table}"; close the one before or take another name`,
      {},
      error,
    );
  }
  return async () => {
    await connection.run(`DROP VIEW IF EXISTS temp.${name}`);
    await connection.run(`DROP MACRO TABLE IF EXISTS temp.${name}`);
  };
}

/** DuckDB's threads wait for these callbacks: what they throw has to become the error of the query. */
function guarded<I extends { setError(error: string): void }, A extends unknown[]>(
  callback: (info: I, ...rest: A) => void,
): (info: I, ...rest: A) => void {
  return (info, ...rest) => {
    try {
      callback(info, ...rest);
    } catch (error) {
      info.setError(error instanceof Error ? error.message : String(error));
    }
  };
}

/** Rows and columns, and the elements from one of them to the next. */
function layoutOf(shape: readonly number[], along: "first" | "last") {
  if (along === "first") {
    const columns = sizeOf(shape.slice(1));
    return { rows: shape[0] ?? 1, columns, rowStep: columns, columnStep: 1 };
  }
  const rows = shape.at(-1) ?? 1;
  return { rows, columns: sizeOf(shape.slice(0, -1)), rowStep: 1, columnStep: rows };
}

function columnNames({ name, columns, rows = "first" }: LiveTableOptions, count: number): readonly string[] {
  if (columns === undefined) return Array.from({ length: count }, (_, c) => `c${c}`);
  if (columns.length === count) return columns;
  return fail(
    "INVALID_OPTION",
    `the live table ${name} has ${count} columns (its rows are the ${rows} dimension), but "columns" names ${columns.length}`,
    { columns },
  );
}

function computedColumn(name: string, { type, value }: Computed): ScanColumn {
  return {
    name,
    type: computedTypes[type],
    fill: (vector, snapshot, firstRow) => fillComputed(vector, (i) => value(firstRow + i, snapshot)),
  };
}

// DuckDB ignores case in names; without this only the first query would tell, in words about something else.
function refuseTwins(table: string, columns: readonly ScanColumn[]): void {
  const seen = new Set<string>();
  for (const { name } of columns) {
    if (seen.has(name.toLowerCase()))
      fail("INVALID_OPTION", `the live table ${table} has two columns named ${name}`);
    seen.add(name.toLowerCase());
  }
}
