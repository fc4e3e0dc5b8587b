import { fail } from "../errors.ts";

export const dimensionsMax = 8;
/** The longest axis. */
export const dimensionMax = 2 ** 32 - 1;

/** Throws INVALID_SHAPE unless `shape` is 0 to 8 whole numbers from 1 to 2^32 - 1 whose product is exact in a double. */
export function checkShape(shape: unknown): asserts shape is readonly number[] {
  if (!Array.isArray(shape)) fail("INVALID_SHAPE", "a shape is an array of whole numbers, such as [3, 390]");
  if (shape.length > dimensionsMax) {
    fail("INVALID_SHAPE", `a shape has at most ${dimensionsMax} dimensions, not ${shape.length}`);
  }
  for (let axis = 0; axis < shape.length; axis++) {
    const dimension: unknown = shape[axis];
    if (!Number.isInteger(dimension) || (dimension as number) < 1 || (dimension as number) > dimensionMax) {
      fail(
        "INVALID_SHAPE",
        `dimension ${axis} is ${String(dimension)}; each must be a whole number from 1 to ${dimensionMax}`,
        { axis },
      );
    }
  }
  if (!Number.isSafeInteger(sizeOf(shape))) {
    fail("INVALID_SHAPE", `${shapeText(shape)} has more elements than can be counted`);
  }
}

/** Number of elements; 1 for a shape without dimensions. */
export function sizeOf(shape: readonly number[]): number {
  let size = 1;
  for (const dimension of shape) size *= dimension;
  return size;
}

/** Elements between neighbours along each axis, in C order (the last axis is contiguous). */
export function stridesOf(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = stride;
    stride *= shape[axis]!;
  }
  return strides;
}

/** Position of `index` in C order. Throws INVALID_INDEX naming index, axis and shape. */
export function flatIndex(shape: readonly number[], index: readonly number[]): number {
  if (index.length !== shape.length) refuseIndex(shape, index);
  let flat = 0;
  for (let axis = 0; axis < shape.length; axis++) {
    const i = index[axis]!;
    if (i >>> 0 !== i || i >= shape[axis]!) refuseIndex(shape, index);
    flat = flat * shape[axis]! + i;
  }
  return flat;
}

/** Throws the INVALID_INDEX that `index` deserves; call it only when the index is known to be wrong. */
export function refuseIndex(shape: readonly number[], index: readonly unknown[]): never {
  const axis = index.findIndex((i, a) => !isInside(i, shape[a] ?? 0));
  const given = `[${index.map(String).join(", ")}]`;
  if (index.length !== shape.length || axis === -1) {
    fail(
      "INVALID_INDEX",
      `index ${given} is ${index.length} long, shape ${shapeText(shape)} needs ${shape.length}`,
      { index, shape },
    );
  }
  fail(
    "INVALID_INDEX",
    `index ${given}: ${String(index[axis])} on axis ${axis} is not a whole number from 0 to ${shape[axis]! - 1} (shape ${shapeText(shape)})`,
    { index, axis, shape },
  );
}

/** Throws INVALID_REGION unless the box of `shape` at `start` lies within `whole`; `what` opens the sentence. */
export function checkBox(
  whole: readonly number[],
  start: readonly number[],
  shape: readonly number[],
  what: string,
): void {
  if (!Array.isArray(start) || !Array.isArray(shape)) {
    fail("INVALID_REGION", `${what}: start and shape must be arrays of whole numbers`);
  }
  const facts = { start, shape, whole };
  if (start.length !== whole.length || shape.length !== whole.length) {
    const given = `start has ${start.length} numbers and shape has ${shape.length}`;
    fail("INVALID_REGION", `${what}: ${given}, the array has ${whole.length} dimensions`, facts);
  }
  for (let axis = 0; axis < whole.length; axis++) {
    const [from, count, dimension] = [start[axis]!, shape[axis]!, whole[axis]!];
    const exact = Number.isSafeInteger(from) && Number.isSafeInteger(count) && from >= 0 && count >= 1;
    if (!exact || from > dimension || count > dimension - from) {
      const asked = `${count} from ${from} on axis ${axis}`;
      fail("INVALID_REGION", `${what}: ${asked} is outside the array's ${shapeText(whole)}`, {
        ...facts,
        axis,
      });
    }
  }
}

export function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((dimension, axis) => dimension === b[axis]);
}

export function shapeText(shape: readonly number[]): string {
  return `[${shape.join(", ")}]`;
}

function isInside(i: unknown, dimension: number): boolean {
  return typeof i === "number" && i >>> 0 === i && i < dimension;
}
