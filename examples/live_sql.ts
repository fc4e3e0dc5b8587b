/** SQL in the clients with DuckDB: a query is asked again when something changed, and its answer shown. */
import { DuckDBInstance, type DuckDBConnection } from "@duckdb/node-api";
import type { Program, View } from "./program.ts";
import { decimal, table, type Paint } from "./terminal.ts";

interface Answer {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly unknown[])[];
}

/** A database in memory with one connection; at its end it waits for the query that runs. */
export class LiveSql implements AsyncDisposable {
  readonly connection: DuckDBConnection;
  readonly #instance: DuckDBInstance;
  #running: Promise<void> = Promise.resolve();
  #title: string | undefined;

  private constructor(instance: DuckDBInstance, connection: DuckDBConnection) {
    this.#instance = instance;
    this.connection = connection;
  }

  static async open(): Promise<LiveSql> {
    const instance = await DuckDBInstance.create(":memory:");
    return new LiveSql(instance, await instance.connect());
  }

  async ask(sql: string): Promise<Answer> {
    const reader = await this.connection.runAndReadAll(sql);
    return { columns: reader.columnNames(), rows: reader.getRowsJS() };
  }

  /** Asks and shows, one query at a time: what comes in while it runs is part of the next one's version. */
  show(self: Program, sql: string, title: string): void {
    const isWaiting = this.#title !== undefined;
    this.#title = title;
    if (isWaiting) return;
    this.#running = this.#running.then(async () => {
      const title = this.#title ?? "";
      this.#title = undefined;
      self.show(answerView(await this.ask(sql), title, self.ink));
    });
    this.#running.catch(self.fail);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#running.catch(() => {});
    this.connection.closeSync();
    this.#instance.closeSync();
  }
}

function answerView({ columns, rows }: Answer, title: string, ink: Paint): View {
  const cell = (value: unknown) => (typeof value === "number" ? decimal(value) : String(value ?? "–"));
  const cells = () => rows.map((row) => row.map(cell));
  const number = (_: string, value: unknown) => (typeof value === "bigint" ? Number(value) : value);
  const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value ?? null, number));
  return {
    lines: () => [
      title,
      ...table(
        columns.map((title) => ({ title })),
        cells(),
        ink,
      ),
    ],
    line: () => {
      const few = cells().slice(0, 6);
      return `${title}; ${few.map((row) => row.join(" ")).join(", ")}`;
    },
    json: () => rows.map((row) => Object.fromEntries(columns.map((name, c) => [name, plain(row[c])]))),
  };
}
