import type { ArraySchema, RegionOption, Schema } from "../../src/browser/index.ts";
import { shapeText, whole } from "./words.ts";

/** What is looked at: a box of the last two axes of an array, at one place of the others. */
export interface Pick {
  readonly array: ArraySchema;
  /** One index for each axis before the last two. */
  readonly lead: readonly number[];
  /** First element and number of elements along the last two axes, or the only one. */
  readonly start: readonly number[];
  readonly shape: readonly number[];
}

/** Elements along each axis that are asked for at once: more than any screen shows. */
const sideMax = 2048;
/** The same where there is one axis only. */
const lengthMax = sideMax ** 2;

/** All of the array, as far as a screen can show it. */
export function whole2d(array: ArraySchema, lead: readonly number[] = []): Pick {
  const shown = array.shape.slice(-2);
  const before = array.shape.slice(0, -2);
  return {
    array,
    lead: before.map((size, axis) => Math.min(lead[axis] ?? 0, size - 1)),
    start: shown.map(() => 0),
    shape: shown.map((size) => Math.min(size, shown.length === 1 ? lengthMax : sideMax)),
  };
}

/** The same in a schema that may be another: what no longer fits becomes all of the array, or of the first one. */
export function renewed(pick: Pick | null, schema: Schema): Pick {
  const array = schema.arrays.find(({ name }) => pick && name === pick.array.name) ?? schema.arrays[0]!;
  if (pick && `${pick.array.shape}` === `${array.shape}`) return { ...pick, array };
  return whole2d(array);
}

function isWhole({ array, shape }: Pick): boolean {
  return array.shape.slice(-2).every((size, axis) => shape[axis] === size);
}

/** Whether {@link whole2d} would show something else. */
export function isPart(pick: Pick): boolean {
  const { start, shape } = whole2d(pick.array);
  return `${pick.start};${pick.shape}` !== `${start};${shape}`;
}

/** A box within what is looked at, in rows and columns of it. */
export function within(pick: Pick, row: number, column: number, rows: number, columns: number): Pick {
  const axes = pick.shape.length;
  const start = [row, column].slice(2 - axes).map((offset, axis) => pick.start[axis]! + offset);
  return { ...pick, start, shape: [rows, columns].slice(2 - axes) };
}

export function regionOf({ array, lead, start, shape }: Pick): RegionOption {
  return {
    array: array.name,
    start: [...lead, ...start],
    shape: [...lead.map(() => 1), ...shape],
    as: "view",
  };
}

export function nameOf(array: ArraySchema): string {
  return array.name ?? "main array";
}

export function titleOf(pick: Pick): string {
  const { array, start, shape } = pick;
  const full = array.shape.slice(-2);
  const head = `${nameOf(array)} · ${array.dtype} · ${shapeText(array.shape)}`;
  if (isWhole(pick)) return head;
  const words = full.length === 2 ? ["rows", "columns"] : ["elements"];
  const parts = words.map(
    (word, axis) => `${word} ${whole(start[axis]!)} to ${whole(start[axis]! + shape[axis]! - 1)}`,
  );
  return `${head} · ${parts.join(", ")}`;
}
