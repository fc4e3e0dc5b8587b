import type { Dtype, TypedArray } from "../array/dtype.ts";
import { normalise, type Runs, totalBytes } from "../delta/runs.ts";
import { type Layout, quoted, rowCountIn } from "./layout.ts";
import type { LiveTableOptions, SeenVersion } from "./table.ts";
import type { Snapshot, Snapshots } from "./snapshot.ts";

/** How cells of a dtype come into SQL: what a function in JavaScript can return, and what that is cast to. All of it without loss. */
const cellTypes: Readonly<Record<Dtype, readonly [returned: string, column: string]>> = {
  bool: ["integer", "BOOLEAN"],
  i8: ["tinyint", "TINYINT"],
  u8: ["smallint", "UTINYINT"],
  i16: ["smallint", "SMALLINT"],
  u16: ["integer", "USMALLINT"],
  i32: ["integer", "INTEGER"],
  u32: ["bigint", "UINTEGER"],
  i64: ["bigint", "BIGINT"],
  u64: ["ubigint", "UBIGINT"],
  f16: ["double", "FLOAT"],
  f32: ["double", "FLOAT"],
  f64: ["double", "DOUBLE"],
};

/** The catalog in memory that the tables are in, so that nothing of them gets into a file. */
export const catalog = "memblast_live";

/** So many ranges of rows are written into a condition one by one; with more, DuckDB asks for row after row and joins with that. */
const rangesMax = 64;

let tables = 0;

/** A function for SQL, by name. */
export interface SqlFunction {
  readonly name: string;
  readonly type: string;
  readonly value: (snapshot: bigint, at: bigint) => number | bigint | string | null;
}

/** A table that holds one version of an array, and the SQL that makes it hold another one. */
export class WrittenTable {
  readonly name: string;
  readonly array: string | null;
  /** What {@link WrittenTable.create} and {@link WrittenTable.update} call. */
  readonly functions: readonly SqlFunction[];
  readonly #layout: Layout;
  readonly #options: LiveTableOptions;
  readonly #stored: string;
  readonly #counted: string;
  /** The changed rows of updates on their way, by snapshot. */
  readonly #changes = new Map<bigint, Runs>();

  constructor(layout: Layout, options: LiveTableOptions, snapshots: Snapshots) {
    const number = ++tables;
    this.name = options.name;
    this.array = layout.array;
    this.#layout = layout;
    this.#options = options;
    this.#stored = `${catalog}.main.cells_${number}`;
    this.#counted = `${catalog}.main.count_${number}`;
    const [type] = cellTypes[layout.dtype];
    this.functions = [
      { name: `memblast_cell_${number}`, type, value: cellReader(layout, snapshots) },
      { name: `memblast_row_${number}`, type: "bigint", value: rowReader(this.#changes) },
      ...layout.computed.map(([, { type, value }], i) => ({
        name: `memblast_value_${number}_${i}`,
        type: type.toLowerCase(),
        value: (id: bigint, row: bigint) => value(Number(row), snapshots.seen(Number(id)) as SeenVersion),
      })),
    ];
  }

  /** Statements that make the table, full of what `snapshot` has. */
  create(snapshot: Snapshot): string[] {
    const { rows } = this.#layout;
    const columns = [...this.#cells(snapshot, "r"), ...this.#computed(snapshot, "r")];
    const selected = columns.map(([name, value]) => `${value} AS ${name}`).join(", ");
    return [
      `CREATE TABLE ${this.#stored} AS SELECT ${selected} FROM range(${rows}) AS rows(r)`,
      `CREATE TABLE ${this.#counted} AS SELECT ${this.#rowCount(snapshot)} AS rows`,
    ];
  }

  /** Statements that bring it from version `before`, undefined: any, to `snapshot`. Empty where the array did not change and nothing else can. */
  update(snapshot: Snapshot, before: number | undefined): string[] {
    const changed = before === undefined ? null : this.#changedRows(snapshot, before);
    const where = changed === null ? "" : ` WHERE ${this.#rowsIn(changed, BigInt(snapshot.id))}`;
    const statements: string[] = [];
    if (changed === null || changed.length > 0)
      statements.push(`UPDATE ${this.#stored} SET ${assignments(this.#cells(snapshot, "rowid"))}${where}`);
    if (snapshot.version === before) return statements;
    // These may depend on the version and its metadata, whatever happened to the cells.
    if (this.#layout.computed.length > 0)
      statements.push(`UPDATE ${this.#stored} SET ${assignments(this.#computed(snapshot, "rowid"))}`);
    if (this.#options.rowCount)
      statements.push(`UPDATE ${this.#counted} SET rows = ${this.#rowCount(snapshot)}`);
    return statements;
  }

  /** The update to this snapshot is over. */
  forget({ id }: Snapshot): void {
    this.#changes.delete(BigInt(id));
  }

  /** Statements for the connection that asks, after which it knows the table by its name. */
  show(): string[] {
    const name = quoted(this.name);
    const valid = this.#options.rowCount ? ` WHERE rowid < (SELECT rows FROM ${this.#counted})` : "";
    const select = `SELECT * FROM ${this.#stored}${valid}`;
    return [`CREATE TEMP VIEW ${name} AS ${select}`, `CREATE TEMP MACRO ${name}() AS TABLE ${select}`];
  }

  hide(): string[] {
    const name = quoted(this.name);
    return [`DROP VIEW IF EXISTS temp.${name}`, `DROP MACRO TABLE IF EXISTS temp.${name}`];
  }

  drop(): string[] {
    return [this.#stored, this.#counted].map((table) => `DROP TABLE IF EXISTS ${table}`);
  }

  #cells({ id }: Snapshot, row: string): [string, string][] {
    const { dtype, cells, rowStep } = this.#layout;
    const [, type] = cellTypes[dtype];
    const reader = this.functions[0]!.name;
    return cells.map(({ name, first }) => [
      quoted(name),
      `CAST(${reader}(${id}::BIGINT, ${row} * ${rowStep} + ${first}) AS ${type})`,
    ]);
  }

  #computed({ id }: Snapshot, row: string): [string, string][] {
    return this.#layout.computed.map(([name], i) => [
      quoted(name),
      `${this.functions[i + 2]!.name}(${id}::BIGINT, ${row})`,
    ]);
  }

  #rowCount(snapshot: Snapshot): number {
    return rowCountIn(this.#layout, this.#options, snapshot);
  }

  #rowsIn(runs: Runs, id: bigint): string {
    if (runs.length / 2 <= rangesMax)
      return Array.from(
        { length: runs.length / 2 },
        (_, i) => `rowid BETWEEN ${runs[2 * i]} AND ${runs[2 * i]! + runs[2 * i + 1]! - 1}`,
      ).join(" OR ");
    this.#changes.set(id, runs);
    const reader = this.functions[1]!.name;
    return `rowid IN (SELECT ${reader}(${id}::BIGINT, i) FROM range(${totalBytes(runs)}) AS changed(i))`;
  }

  #changedRows({ copy }: Snapshot, before: number): Runs {
    const { rows, rowStep } = this.#layout;
    return rowsOf(copy.changedSince(before, this.array), rows, rowStep);
  }
}

function cellReader({ array, dtype }: Layout, snapshots: Snapshots): SqlFunction["value"] {
  const isWide = cellTypes[dtype][0] === "bigint" && dtype === "u32";
  let known = -1n;
  let data: TypedArray;
  return (id, at) => {
    if (id !== known) {
      data = snapshots.seen(Number(id))!.copy.array(array).data;
      known = id;
    }
    const cell = data[Number(at)]!;
    if (isWide) return BigInt(cell);
    return dtype === "bool" ? Number(cell !== 0) : cell;
  };
}

/** The n-th changed row of an update; DuckDB asks in order, or nearly so. */
function rowReader(changes: ReadonlyMap<bigint, Runs>): SqlFunction["value"] {
  let known = -1n;
  let rows = new Float64Array(0);
  return (id, at) => {
    if (id !== known) {
      rows = rowList(changes.get(id)!);
      known = id;
    }
    return BigInt(rows[Number(at)]!);
  };
}

function rowList(runs: Runs): Float64Array<ArrayBuffer> {
  const rows = new Float64Array(totalBytes(runs));
  for (let i = 0, at = 0; i < runs.length; i += 2)
    for (let k = 0; k < runs[i + 1]!; k++) rows[at++] = runs[i]! + k;
  return rows;
}

function assignments(columns: readonly (readonly [string, string])[]): string {
  return columns.map(([name, value]) => `${name} = ${value}`).join(", ");
}

/** The rows that elements lie in, as runs. A step of 1 means that rows are the last dimension, and elements of a column side by side. */
function rowsOf(elements: Float64Array, rows: number, rowStep: number): Runs {
  const pairs: number[] = [];
  for (let i = 0; i < elements.length; i += 2) {
    const [first, count] = [elements[i]!, elements[i + 1]!];
    if (rowStep > 1) {
      const row = Math.floor(first / rowStep);
      pairs.push(row, Math.floor((first + count - 1) / rowStep) + 1 - row);
    } else if (count >= rows) return Float64Array.of(0, rows);
    else {
      const row = first % rows;
      const here = Math.min(count, rows - row);
      pairs.push(row, here, 0, count - here);
    }
  }
  return normalise(pairs);
}
