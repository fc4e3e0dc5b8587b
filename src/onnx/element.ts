import type { Dtype } from "../array/dtype.ts";

interface Element {
  /** TensorProto.DataType in onnx.proto. */
  readonly onnx: number;
  /** What onnxruntime calls it in JavaScript. */
  readonly tensor: string;
}

/** The element types that ONNX and memblast have in common: all of ours. */
export const elements: Readonly<Record<Dtype, Element>> = {
  f32: { onnx: 1, tensor: "float32" },
  u8: { onnx: 2, tensor: "uint8" },
  i8: { onnx: 3, tensor: "int8" },
  u16: { onnx: 4, tensor: "uint16" },
  i16: { onnx: 5, tensor: "int16" },
  i32: { onnx: 6, tensor: "int32" },
  i64: { onnx: 7, tensor: "int64" },
  bool: { onnx: 9, tensor: "bool" },
  f16: { onnx: 10, tensor: "float16" },
  f64: { onnx: 11, tensor: "float64" },
  u32: { onnx: 12, tensor: "uint32" },
  u64: { onnx: 13, tensor: "uint64" },
};

/** The dtype of an ONNX element type; undefined for those that memblast does not have (text, bfloat16, 4 and 8 bit floats). */
export function dtypeOf(onnx: number): Dtype | undefined {
  return (Object.keys(elements) as Dtype[]).find((dtype) => elements[dtype].onnx === onnx);
}
