/** What is used of the package `duckdb-async`, as far as it is used. */
type Query = (sql: string, ...values: any[]) => any;

/** What can be asked: a `Database` or a `Connection`. */
export interface AsyncQueries {
  all(sql: string, ...values: any[]): Promise<Record<string, any>[]>;
  exec(sql: string, ...values: any[]): Promise<void>;
  run: Query;
  each: Query;
  prepare: Query;
  stream: Query;
}

export interface AsyncConnection extends AsyncQueries {
  close(): Promise<void>;
}

/** A `Database` of `duckdb-async`. */
export interface AsyncDatabase extends AsyncQueries {
  connect(): Promise<AsyncConnection>;
  register_udf(name: string, type: string, value: (...values: any[]) => any): void;
  unregister_udf(name: string): Promise<void>;
}
