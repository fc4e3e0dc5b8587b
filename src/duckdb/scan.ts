import type {
  DuckDBDataChunk,
  DuckDBTableFunctionBindInfo,
  DuckDBTableFunctionInfo,
  DuckDBTableFunctionInitInfo,
} from "@duckdb/node-api";
import { fail } from "../errors.ts";
import { fillColumn, fillComputed, type ScanColumn } from "./columns.ts";
import type { NativeScans } from "./native.ts";
import type { Reader, Snapshot, Snapshots } from "./snapshot.ts";

/** What a scan shows: an array of the snapshots as columns, and how many rows of it. */
export interface ScanTable {
  readonly name: string;
  readonly array: string | null;
  readonly columns: readonly ScanColumn[];
  readonly rowsMax: number;
  /** How many of them a version has. */
  rowCount(seen: Snapshot): number;
}

interface Progress {
  readonly snapshot: Snapshot;
  readonly columns: readonly (ScanColumn | undefined)[];
  readonly rowCount: number;
  nextRow: number;
  reader?: Reader;
}

const vectorRows = 2048;

/** The three callbacks of a table function, in the order in which a query calls them. */
export class TableScan {
  closed = false;
  readonly #table: ScanTable;
  readonly #snapshots: Snapshots;
  readonly #native: NativeScans | null;

  constructor(table: ScanTable, snapshots: Snapshots, native: NativeScans | null) {
    this.#table = table;
    this.#snapshots = snapshots;
    this.#native = native;
  }

  /** While the query is planned: which columns there are, and to which transaction it belongs. */
  bind(info: DuckDBTableFunctionBindInfo): void {
    for (const { name, type } of this.#table.columns) info.addResultColumn(name, type);
    info.setCardinality(this.#table.rowsMax, false);
    const transaction = info.getNamedParameter("transaction");
    info.setBindData({ transaction: transaction === null ? undefined : String(transaction) });
  }

  /** When the query starts to read: which version it sees, and which columns it uses. */
  init(info: DuckDBTableFunctionInitInfo): void {
    if (this.closed) fail("CLOSED", `the live table ${this.#table.name} has been closed`);
    const { transaction } = info.bindData as { transaction: string | undefined };
    const snapshot = this.#snapshots.take(transaction);
    // A query that only counts asks for a column that there is not.
    const columns = info.getColumnIndexes().map((index) => this.#table.columns[index]);
    const rowCount = this.#table.rowCount(snapshot);
    if (this.#native) this.#native.begin(info, snapshot, this.#table.array, rowCount, columns);
    else this.#begin(info, { snapshot, columns, rowCount, nextRow: 0 });
  }

  #begin(info: DuckDBTableFunctionInitInfo, progress: Progress): void {
    info.setInitData(progress);
    // Rows are produced on this thread whatever we say here; a single asker keeps them in order.
    info.setMaxThreads(1);
    progress.reader = new WeakRef(progress);
    progress.snapshot.readers.add(progress.reader);
  }

  /** For each batch of rows, where DuckDB's threads cannot do it themselves; an empty one is the end. */
  produce(info: DuckDBTableFunctionInfo, chunk: DuckDBDataChunk): void {
    const progress = info.initData as Progress;
    const { snapshot, columns, nextRow } = progress;
    const count = Math.min(vectorRows, progress.rowCount - nextRow);
    chunk.rowCount = count;
    if (count === 0) {
      snapshot.readers.delete(progress.reader!);
      return;
    }
    const { data } = snapshot.copy.array(this.#table.array);
    columns.forEach((column, c) => {
      if (!column) return;
      const { source } = column;
      const vector = chunk.getColumnVector(c);
      if (source.kind === "cells")
        fillColumn(vector, data, source.first + nextRow * source.step, source.step);
      else fillComputed(vector, (i) => BigInt(source.kind === "row" ? nextRow + i : snapshot.id));
    });
    progress.nextRow += count;
  }
}
