import { type Dtype, dtypes, type TypedArray } from "./dtype.ts";

/*
 * One element of a typed array, by the number of its dtype. `view[at]` in one place for all dtypes would be shorter,
 * but once a program has used a few of them the engine gives up on it: 22 to 55 ns an element against 9 to 18. f64 and
 * f32 come first, outside the switch, so that they are inlined where they are used: 3 ns in a program of one dtype. The
 * cases are bare numbers, places in `dtypes`, which make jumps; constants with names are compared one after the other.
 */
export type DtypeCode = number;

export function dtypeCode(dtype: Dtype): DtypeCode {
  return dtypes.indexOf(dtype);
}

const F32 = 10;
const F64 = 11;

/** The element as stored; undefined beyond the end of `view`, and everywhere once it is detached. */
export function loadCell(code: DtypeCode, view: TypedArray, at: number): number | bigint | undefined {
  if (code === F64) return (view as Float64Array)[at];
  if (code === F32) return (view as Float32Array)[at];
  return loadOther(code, view, at);
}

/** Stores the element; false where there is no such place, as in a detached view. */
export function storeCell(code: DtypeCode, view: TypedArray, at: number, value: number | bigint): boolean {
  if (code === F64) {
    if (at >= (view as Float64Array).length) return false;
    (view as Float64Array)[at] = value as number;
    return true;
  }
  if (code === F32) {
    if (at >= (view as Float32Array).length) return false;
    (view as Float32Array)[at] = value as number;
    return true;
  }
  return storeOther(code, view, at, value);
}

function loadOther(code: DtypeCode, view: TypedArray, at: number): number | bigint | undefined {
  switch (code) {
    case 1: // i8
      return (view as Int8Array)[at];
    case 3: // i16
      return (view as Int16Array)[at];
    case 4: // u16
      return (view as Uint16Array)[at];
    case 5: // i32
      return (view as Int32Array)[at];
    case 6: // u32
      return (view as Uint32Array)[at];
    case 7: // i64
      return (view as BigInt64Array)[at];
    case 8: // u64
      return (view as BigUint64Array)[at];
    case 9: // f16
      return (view as Float16Array)[at];
    default:
      return (view as Uint8Array)[at];
  }
}

function storeOther(code: DtypeCode, view: TypedArray, at: number, value: number | bigint): boolean {
  switch (code) {
    case 1: // i8
      if (at >= (view as Int8Array).length) return false;
      (view as Int8Array)[at] = value as number;
      return true;
    case 3: // i16
      if (at >= (view as Int16Array).length) return false;
      (view as Int16Array)[at] = value as number;
      return true;
    case 4: // u16
      if (at >= (view as Uint16Array).length) return false;
      (view as Uint16Array)[at] = value as number;
      return true;
    case 5: // i32
      if (at >= (view as Int32Array).length) return false;
      (view as Int32Array)[at] = value as number;
      return true;
    case 6: // u32
      if (at >= (view as Uint32Array).length) return false;
      (view as Uint32Array)[at] = value as number;
      return true;
    case 7: // i64
      if (at >= (view as BigInt64Array).length) return false;
      (view as BigInt64Array)[at] = value as bigint;
      return true;
    case 8: // u64
      if (at >= (view as BigUint64Array).length) return false;
      (view as BigUint64Array)[at] = value as bigint;
      return true;
    case 9: // f16
      if (at >= (view as Float16Array).length) return false;
      (view as Float16Array)[at] = value as number;
      return true;
    default:
      if (at >= (view as Uint8Array).length) return false;
      (view as Uint8Array)[at] = value as number;
      return true;
  }
}
