import { fail } from "../errors.ts";

/** Element types, in the order in which documents list them. `bool` is stored as one byte, 0 or 1; all others as JavaScript's typed arrays do. */
export const dtypes = [
  "bool",
  "i8",
  "u8",
  "i16",
  "u16",
  "i32",
  "u32",
  "i64",
  "u64",
  "f16",
  "f32",
  "f64",
] as const;

export type Dtype = (typeof dtypes)[number];

interface ViewByDtype {
  bool: Uint8Array;
  i8: Int8Array;
  u8: Uint8Array;
  i16: Int16Array;
  u16: Uint16Array;
  i32: Int32Array;
  u32: Uint32Array;
  i64: BigInt64Array;
  u64: BigUint64Array;
  f16: Float16Array;
  f32: Float32Array;
  f64: Float64Array;
}

/** The typed array that holds elements of dtype `D`. */
export type ViewOf<D extends Dtype> = ViewByDtype[D];
export type TypedArray = ViewOf<Dtype>;

/** What one element of dtype `D` is in JavaScript: bigint for i64 and u64, boolean for bool, number for the rest. */
export type ScalarOf<D extends Dtype> = D extends "bool"
  ? boolean
  : D extends "i64" | "u64"
    ? bigint
    : number;
export type Scalar = ScalarOf<Dtype>;

const constructors = {
  bool: Uint8Array,
  i8: Int8Array,
  u8: Uint8Array,
  i16: Int16Array,
  u16: Uint16Array,
  i32: Int32Array,
  u32: Uint32Array,
  i64: BigInt64Array,
  u64: BigUint64Array,
  f16: globalThis.Float16Array, // browsers have it since 2025; without it all other dtypes work
  f32: Float32Array,
  f64: Float64Array,
} as const;

export function isDtype(value: unknown): value is Dtype {
  return typeof value === "string" && Object.hasOwn(constructors, value);
}

/** `value` as a dtype, or INVALID_DTYPE. */
export function checkDtype(value: unknown): Dtype {
  if (isDtype(value)) return value;
  return fail("INVALID_DTYPE", `no such dtype: ${String(value)}; take one of ${dtypes.join(", ")}`);
}

/** Bytes of one element: 1, 2, 4 or 8. */
export function dtypeBytes(dtype: Dtype): number {
  return constructors[dtype].BYTES_PER_ELEMENT;
}

/** A view of `count` elements from `byteOffset` (a multiple of the element's bytes) of `buffer`, in the machine's byte order. */
export function typedView<D extends Dtype>(
  dtype: D,
  buffer: ArrayBuffer,
  byteOffset: number,
  count: number,
): ViewOf<D> {
  return new constructors[dtype](buffer, byteOffset, count) as ViewOf<D>;
}

/** Fresh memory for `count` elements, all zero. */
export function newView<D extends Dtype>(dtype: D, count: number): ViewOf<D> {
  return new constructors[dtype](count) as ViewOf<D>;
}

/** Whether `view` is the typed array that elements of `dtype` live in, so that its bytes can be copied as they are. */
export function holds(dtype: Dtype, view: unknown): view is TypedArray {
  return view instanceof constructors[dtype];
}
