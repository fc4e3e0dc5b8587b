import type {
  DuckDBDataChunk,
  DuckDBTableFunctionBindInfo,
  DuckDBTableFunctionInfo,
  DuckDBTableFunctionInitInfo,
  DuckDBType,
  DuckDBVector,
} from "@duckdb/node-api";
import { fail } from "../errors.ts";
import { fillColumn } from "./columns.ts";
import type { Snapshot, Snapshots } from "./snapshot.ts";

/** One column of the table, and how `vector.itemCount` rows from `firstRow` come into its vector. */
export interface ScanColumn {
  readonly name: string;
  readonly type: DuckDBType;
  fill(vector: DuckDBVector, snapshot: Snapshot, firstRow: number): void;
}

/** A column of array elements: its first element's index, and the elements from one row to the next. */
export function arrayColumn(name: string, type: DuckDBType, first: number, rowStep: number): ScanColumn {
  return {
    name,
    type,
    fill: (vector, { data }, firstRow) => fillColumn(vector, data, first + firstRow * rowStep, rowStep),
  };
}

interface Progress {
  readonly snapshot: Snapshot;
  readonly columns: readonly ScanColumn[];
  readonly rowCount: number;
  nextRow: number;
}

const vectorRows = 2048;

/** The three callbacks of a table function, in the order in which a query calls them. */
export class TableScan {
  closed = false;
  readonly #name: string;
  readonly #snapshots: Snapshots;
  readonly #columns: readonly ScanColumn[];
  readonly #rowsMax: number;
  readonly #rowCount: (snapshot: Snapshot) => number;

  constructor(
    name: string,
    snapshots: Snapshots,
    columns: readonly ScanColumn[],
    rowsMax: number,
    rowCount: (snapshot: Snapshot) => number,
  ) {
    this.#name = name;
    this.#snapshots = snapshots;
    this.#columns = columns;
    this.#rowsMax = rowsMax;
    this.#rowCount = rowCount;
  }

  /** While the query is planned: which columns there are, and to which transaction it belongs. */
  bind(info: DuckDBTableFunctionBindInfo): void {
    for (const { name, type } of this.#columns) info.addResultColumn(name, type);
    info.setCardinality(this.#rowsMax, false);
    const transaction = info.getNamedParameter("transaction");
    info.setBindData({ transaction: transaction === null ? undefined : String(transaction) });
  }

  /** When the query starts to read: which version it sees, and which columns it uses. */
  init(info: DuckDBTableFunctionInitInfo): void {
    if (this.closed) fail("CLOSED", `the live table ${this.#name} has been closed`);
    const { transaction } = info.bindData as { transaction: string | undefined };
    const snapshot = this.#snapshots.take(transaction);
    const columns = info.getColumnIndexes().map((index) => this.#columns[index] as ScanColumn);
    info.setInitData({
      snapshot,
      columns,
      rowCount: this.#rowCountIn(snapshot),
      nextRow: 0,
    } satisfies Progress);
    // Rows are produced on this thread whatever we say here; a single asker keeps them in order.
    info.setMaxThreads(1);
    snapshot.scans++;
  }

  /** For each batch of rows; an empty one is the end. */
  produce(info: DuckDBTableFunctionInfo, chunk: DuckDBDataChunk): void {
    const progress = info.initData as Progress;
    const { snapshot, columns, nextRow } = progress;
    const count = Math.min(vectorRows, progress.rowCount - nextRow);
    chunk.rowCount = count;
    if (count === 0) {
      snapshot.scans--;
      return;
    }
    columns.forEach((column, c) => column.fill(chunk.getColumnVector(c), snapshot, nextRow));
    progress.nextRow += count;
  }

  #rowCountIn(snapshot: Snapshot): number {
    const wanted = Math.trunc(this.#rowCount(snapshot)) || 0;
    return Math.max(0, Math.min(wanted, this.#rowsMax));
  }
}
