import { type Dtype, dtypeBytes, newView, type TypedArray } from "../array/dtype.ts";
import { shapeText, sizeOf } from "../array/shape.ts";
import { fail } from "../errors.ts";
import { dtypeOf } from "./element.ts";
import { type Field, fields, integers, text } from "./protobuf.ts";

/** Numbers of the fields of a TensorProto. */
const field = {
  dims: 1,
  dataType: 2,
  floats: 4,
  int32s: 5,
  int64s: 7,
  name: 8,
  raw: 9,
  doubles: 10,
  uint64s: 11,
  dataLocation: 14,
} as const;

/** Where values stand that are not in `raw`: as little-endian bytes, or as integers. */
const listField: Readonly<Record<Dtype, number>> = {
  f32: field.floats,
  f64: field.doubles,
  i64: field.int64s,
  u32: field.uint64s,
  u64: field.uint64s,
  bool: field.int32s,
  i8: field.int32s,
  u8: field.int32s,
  i16: field.int32s,
  u16: field.int32s,
  i32: field.int32s,
  f16: field.int32s,
};

/** A TensorProto; its values are looked at when asked for. */
export class StoredTensor {
  readonly name: string;
  readonly shape: readonly number[];
  /** Undefined for an element type that memblast does not have. */
  readonly dtype: Dtype | undefined;
  readonly #fields: readonly Field[];

  constructor(message: Uint8Array) {
    this.#fields = [...fields(message)];
    this.name = this.#all(field.name).map(text).at(-1) ?? "";
    this.shape = this.#all(field.dims).flatMap(integers).map(Number);
    this.dtype = dtypeOf(Number(this.#all(field.dataType).at(-1)?.varint ?? 0n));
  }

  #all(number: number): Field[] {
    return this.#fields.filter((field) => field.number === number);
  }

  /** The values in C order, in memory of their own. FORMAT where there are not as many as the shape says. */
  values(): TypedArray {
    const { dtype, name, shape } = this;
    if (dtype === undefined) return fail("INVALID_DTYPE", `ONNX tensor ${name}: no dtype for its elements`);
    if ((this.#all(field.dataLocation).at(-1)?.varint ?? 0n) !== 0n)
      fail("INVALID_OPTION", `ONNX tensor ${name} is in a file of its own: save the model as a single file`);
    const raw = this.#all(field.raw).at(-1);
    const list = this.#all(listField[dtype]);
    const isInteger = dtype !== "f32" && dtype !== "f64";
    const values =
      raw || !isInteger
        ? this.#fromBytes(dtype, raw ? [raw] : list)
        : fromIntegers(dtype, list.flatMap(integers));
    if (values.length !== sizeOf(shape))
      fail("FORMAT", `ONNX tensor ${name} has ${values.length} values; its shape is ${shapeText(shape)}`);
    return values;
  }

  #fromBytes(dtype: Dtype, pieces: readonly Field[]): TypedArray {
    const bytes = pieces.reduce((sum, piece) => sum + piece.bytes.length, 0);
    const wanted = sizeOf(this.shape) * dtypeBytes(dtype);
    if (bytes !== wanted)
      fail("FORMAT", `ONNX tensor ${this.name} has ${bytes} bytes of values, not ${wanted}`);
    const values = newView(dtype, sizeOf(this.shape));
    const into = new Uint8Array(values.buffer);
    let at = 0;
    for (const piece of pieces) {
      into.set(piece.bytes, at);
      at += piece.bytes.length;
    }
    return values;
  }
}

/** Half floats stand among integers as their bits. */
function fromIntegers(dtype: Dtype, integers: readonly bigint[]): TypedArray {
  const values = newView(dtype, integers.length);
  if (dtype === "i64" || dtype === "u64") (values as BigInt64Array).set(integers);
  else if (dtype === "f16") new Uint16Array(values.buffer as ArrayBuffer).set(integers.map(Number));
  else (values as Int32Array).set(integers.map(Number));
  return values;
}
