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
