import type { Dtype } from "../array/dtype.ts";
import { sizeOf } from "../array/shape.ts";
import { fail } from "../errors.ts";
import type { Computed, LiveTableOptions } from "./table.ts";
import type { LiveNode } from "./snapshot.ts";

/** A column of array elements: its first element's index. */
export interface CellColumn {
  readonly name: string;
  readonly first: number;
}

/** An array as a table. */
export interface Layout {
  readonly array: string | null;
  readonly dtype: Dtype;
  readonly rows: number;
  /** Elements from one row to the next. */
  readonly rowStep: number;
  readonly cells: readonly CellColumn[];
  readonly computed: readonly (readonly [string, Computed])[];
  /** Of all columns. */
  readonly names: readonly string[];
}

/** Fits the options to the array. @throws INVALID_OPTION, INVALID_NAME */
export function layoutOf(node: LiveNode, options: LiveTableOptions): Layout {
  const array = options.array ?? null;
  const { dtype, shape } = node.read((main, view) => {
    const { dtype, shape } = array === null ? main : view.array(array);
    return { dtype, shape: [...shape] };
  });
  const { rows, columns, rowStep, columnStep } = stepsOf(shape, options.rows ?? "first");
  const cells = columnNames(options, columns).map((name, c) => ({ name, first: c * columnStep }));
  const computed = Object.entries(options.computed ?? {});
  const names = [...cells, ...computed.map(([name]) => ({ name }))].map(({ name }) => name);
  refuseTwins(options.name, names);
  return { array, dtype, rows, rowStep, cells, computed, names };
}

/** How many rows of the layout a version has. */
export function rowCountIn(
  layout: Layout,
  options: LiveTableOptions,
  seen: { version: number; meta: unknown },
): number {
  const wanted = Math.trunc(options.rowCount?.(seen) ?? layout.rows) || 0;
  return Math.max(0, Math.min(wanted, layout.rows));
}

/** A name as SQL takes it whatever it contains. */
export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** Rows and columns, and the elements from one of them to the next. */
function stepsOf(shape: readonly number[], along: "first" | "last") {
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

// DuckDB ignores case in names; without this only the first query would tell, in words about something else.
function refuseTwins(table: string, names: readonly string[]): void {
  const seen = new Set<string>();
  for (const name of names) {
    if (seen.has(name.toLowerCase()))
      fail("INVALID_OPTION", `the live table ${table} has two columns named ${name}`);
    seen.add(name.toLowerCase());
  }
}
