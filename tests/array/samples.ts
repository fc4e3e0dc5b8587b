import fc from "fast-check";
import {
  type Dtype,
  dtypeBytes,
  dtypes,
  newView,
  type Scalar,
  type TypedArray,
} from "../../src/array/dtype.ts";
import { Lease } from "../../src/array/lease.ts";
import { NdArray } from "../../src/array/ndarray.ts";
import { type ArraySchema, makeSchema } from "../../src/array/schema.ts";

/** What the tests of arrays and of deltas draw from, and the slow and obvious ways in which they count. */

export const anyDtype = fc.constantFrom(...dtypes);

/** 0 to 8 dimensions with a few hundred elements at most. */
export const anyShape: fc.Arbitrary<number[]> = fc
  .array(fc.integer({ min: 1, max: 5 }), { maxLength: 8 })
  .map((shape) => {
    let size = 1;
    return shape.map((dimension) => {
      const fitting = size * dimension <= 240 ? dimension : 1;
      size *= fitting;
      return fitting;
    });
  });

export interface Box {
  readonly start: number[];
  readonly shape: number[];
}

export function anyBox(whole: readonly number[]): fc.Arbitrary<Box> {
  const axes = whole.map((dimension) =>
    fc
      .integer({ min: 0, max: dimension - 1 })
      .chain((from) => fc.tuple(fc.constant(from), fc.integer({ min: 1, max: dimension - from }))),
  );
  return fc
    .tuple(...axes)
    .map((drawn) => ({ start: drawn.map(([from]) => from), shape: drawn.map(([, count]) => count) }));
}

/** Any value that set() takes for this dtype, the awkward ones among them. */
export function anyScalar(dtype: Dtype): fc.Arbitrary<Scalar> {
  if (dtype === "bool") return fc.boolean();
  if (dtype === "i64" || dtype === "u64") return fc.bigInt({ min: -(2n ** 65n), max: 2n ** 65n });
  const awkward = fc.constantFrom(
    0,
    -0,
    NaN,
    Infinity,
    -Infinity,
    255,
    256,
    -1,
    2 ** 31,
    2 ** 32,
    0.5,
    65520,
    1e-9,
  );
  return fc.oneof(awkward, fc.double(), fc.integer());
}

/** What a typed array makes of `value`. */
export function stored(dtype: Dtype, value: Scalar): Scalar {
  if (dtype === "bool") return value;
  const one = newView(dtype, 1) as Float64Array;
  one[0] = value as number;
  return one[0];
}

/** All indices of a shape in C order, by nested loops. */
export function indicesOf(shape: readonly number[]): number[][] {
  let all: number[][] = [[]];
  for (const dimension of shape) {
    all = all.flatMap((index) => Array.from({ length: dimension }, (_, i) => [...index, i]));
  }
  return all;
}

/** The byte of the image at which an element stands, counted out. */
export function byteOf(array: ArraySchema, index: readonly number[]): number {
  let flat = 0;
  for (const [axis, i] of index.entries()) flat = flat * array.shape[axis]! + i;
  return array.offset + flat * dtypeBytes(array.dtype);
}

/** All bytes of a box, one by one. */
export function bytesOf(array: ArraySchema, box: Box): Set<number> {
  const bytes = new Set<number>();
  for (const index of indicesOf(box.shape)) {
    const first = byteOf(
      array,
      index.map((i, axis) => i + box.start[axis]!),
    );
    for (let b = 0; b < dtypeBytes(array.dtype); b++) bytes.add(first + b);
  }
  return bytes;
}

export interface Sample {
  readonly array: NdArray;
  readonly schema: ArraySchema;
  readonly image: ArrayBuffer;
  readonly lease: Lease;
  /** The image bytes reported since the last call. */
  touched(): Set<number>;
}

/** A writable array in an image of its own, behind another array so that offsets are not 0. */
export function sampleArray(dtype: Dtype, shape: readonly number[]): Sample {
  const whole = makeSchema([
    { name: "before", dtype: "u8", shape: [3] },
    { name: null, dtype, shape },
  ]);
  const schema = whole.arrays[1]!;
  const image = new ArrayBuffer(whole.imageBytes);
  let bytes = new Set<number>();
  const lease = new Lease((offset, length) => {
    for (let b = 0; b < length; b++) bytes.add(offset + b);
  });
  const touched = (): Set<number> => {
    const so = bytes;
    bytes = new Set();
    return so;
  };
  return { array: NdArray.over(schema, image, lease), schema, image, lease, touched };
}

/** The bytes of a typed array as hex. */
export function bitsOf(view: TypedArray): string {
  return Buffer.from(view.buffer as ArrayBuffer, view.byteOffset, view.byteLength).toString("hex");
}

/** The code of the MemblastError that `action` throws. */
export function codeOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
  return "nothing was thrown";
}
