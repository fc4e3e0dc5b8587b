import type { Scalar } from "./dtype.ts";
import { sizeOf } from "./shape.ts";

/** Up to this many elements are shown in full; above it, the ends of each axis. */
const fullMax = 1000;
const edge = 3;

/** Rows in brackets, columns aligned, long axes cut to their ends: for people, not for parsing. `at` reads one element. */
export function render(shape: readonly number[], at: (index: number[]) => Scalar): string {
  const cut = sizeOf(shape) > fullMax;
  const shown = shape.map((dimension) => places(dimension, cut));
  const cells: string[] = [];
  walk(shown, (index) => cells.push(cellText(at(index))));
  const width = cells.reduce((widest, cell) => Math.max(widest, cell.length), 0);
  let next = 0;
  const level = (axis: number): string => {
    if (axis === shown.length) return cells[next++]!.padStart(shape.length === 0 ? 0 : width);
    const parts = shown[axis]!.map((place) => (place === GAP ? "..." : level(axis + 1)));
    const blank = "\n".repeat(shape.length - 1 - axis);
    return `[${parts.join(blank === "" ? ", " : `,${blank}${" ".repeat(axis + 1)}`)}]`;
  };
  return level(0);
}

const GAP = -1;

function places(dimension: number, cut: boolean): number[] {
  if (!cut || dimension <= 2 * edge) return Array.from({ length: dimension }, (_, i) => i);
  const head = Array.from({ length: edge }, (_, i) => i);
  return [...head, GAP, ...head.map((i) => dimension - edge + i)];
}

function walk(shown: number[][], visit: (index: number[]) => void, index: number[] = []): void {
  if (index.length === shown.length) return visit(index);
  for (const place of shown[index.length]!) if (place !== GAP) walk(shown, visit, [...index, place]);
}

function cellText(value: Scalar): string {
  if (typeof value !== "number") return String(value);
  if (Object.is(value, -0)) return "-0";
  return String(Number.isInteger(value) ? value : Number(value.toPrecision(8)));
}
