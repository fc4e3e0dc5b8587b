import { fail } from "../errors.ts";
import { dtypeCode, storeCell } from "./cell.ts";
import { type Dtype, holds, newView, type ScalarOf, type ViewOf } from "./dtype.ts";
import { scalarKind, toStored } from "./scalar.ts";
import { shapeText, sizeOf } from "./shape.ts";

/** Elements as nested arrays, one level per dimension; a bare element where there are none. */
export type Nested<T> = T | readonly Nested<T>[];

/** What can be assigned: nested arrays of the same shape (rows may be typed arrays), or a flat sequence of all elements in C order. */
export type Source<D extends Dtype> =
  Nested<ScalarOf<D>> | ArrayLike<ScalarOf<D>> | readonly ArrayLike<ScalarOf<D>>[];

/**
 * The elements of `source`, packed in C order: `source` itself where it already is the right typed array.
 * Throws INVALID_SHAPE for a wrong number or nesting of elements, INVALID_DTYPE for an element of the wrong kind.
 */
export function packed<D extends Dtype>(dtype: D, shape: readonly number[], source: unknown): ViewOf<D> {
  const size = sizeOf(shape);
  if (isSequence(source) && source.length === size && !isSequence(source[0])) {
    // Two dtypes, bool and u8, live in a Uint8Array: for bool its values are reduced to 0 and 1 like any other numbers.
    if (dtype !== "bool" && holds(dtype, source)) return source as ViewOf<D>;
    return filled(dtype, size, source);
  }
  const out = newView(dtype, size);
  const [kind, code] = [scalarKind(dtype), dtypeCode(dtype)];
  let at = 0;
  const visit = (value: unknown, axis: number): void => {
    if (axis === shape.length) {
      if (isSequence(value)) refuseShape(shape, `an array ${axis} levels deep where an element belongs`);
      storeCell(code, out, at++, toStored(dtype, kind, value));
      return;
    }
    if (!isSequence(value)) refuseShape(shape, `no array on axis ${axis}`);
    if (value.length !== shape[axis]) refuseShape(shape, `${value.length} entries on axis ${axis}`);
    for (let i = 0; i < value.length; i++) visit(value[i], axis + 1);
  };
  visit(source, 0);
  return out;
}

/** Nested JavaScript arrays of what `next` yields; a bare element for a shape without dimensions. */
export function nest<T>(shape: readonly number[], next: () => T, axis = 0): Nested<T> {
  if (axis === shape.length) return next();
  const out = new Array<Nested<T>>(shape[axis]!);
  for (let i = 0; i < out.length; i++) out[i] = nest(shape, next, axis + 1);
  return out;
}

function filled<D extends Dtype>(dtype: D, size: number, source: ArrayLike<unknown>): ViewOf<D> {
  const out = newView(dtype, size);
  const [kind, code] = [scalarKind(dtype), dtypeCode(dtype)];
  for (let i = 0; i < size; i++) storeCell(code, out, i, toStored(dtype, kind, source[i]));
  return out;
}

function isSequence(value: unknown): value is ArrayLike<unknown> {
  if (Array.isArray(value)) return true;
  return ArrayBuffer.isView(value) && !(value instanceof DataView);
}

function refuseShape(shape: readonly number[], found: string): never {
  fail(
    "INVALID_SHAPE",
    `the source must be nested as ${shapeText(shape)} or flat with ${sizeOf(shape)} elements; it has ${found}`,
  );
}
