/** Models made by hand, field by field of onnx.proto. */
import type { Dtype, TypedArray } from "../../src/array/dtype.ts";
import { elements } from "../../src/onnx/element.ts";
import { inputField } from "../../src/onnx/graph.ts";
import { integerField, join, type Message, messageField, textField } from "../../src/onnx/protobuf.ts";

export const bfloat16 = 16;

/** A TensorProto; `values` are its fields with the values. */
export function tensor(
  name: string,
  type: Dtype | number,
  shape: readonly number[],
  ...values: Message[]
): Message {
  return [
    ...shape.flatMap((size) => integerField(1, size)),
    ...integerField(2, typeof type === "number" ? type : elements[type].onnx),
    ...textField(8, name),
    ...values.flat(),
  ];
}

export function raw(values: TypedArray): Message {
  return messageField(9, [new Uint8Array(values.buffer, values.byteOffset, values.byteLength)]);
}

/** Values in a list field: floats and doubles as their bytes, packed; integers as varints, packed. */
export function packed(number: number, values: TypedArray | readonly bigint[]): Message {
  if (ArrayBuffer.isView(values))
    return messageField(number, [new Uint8Array(values.buffer, values.byteOffset, values.byteLength)]);
  return messageField(
    number,
    values.flatMap((value) => integerField(0, value).slice(1)),
  );
}

/** A ModelProto with these initializers and an input `x`; `listed` stand among the inputs too, as old models have it. */
export function modelOf(initializers: readonly Message[], listed: readonly string[] = []): Uint8Array {
  const graph = [
    ...messageField(1, [...textField(1, "x"), ...textField(2, "y"), ...textField(4, "Identity")]),
    ...textField(2, "made by hand"),
    ...initializers.flatMap((one) => messageField(5, one)),
    ...["x", ...listed].flatMap((name) => inputField(11, { name, dtype: "f32", shape: [2] })),
    ...inputField(12, { name: "y", dtype: "f32", shape: [2] }),
  ];
  return join([
    ...integerField(1, 8),
    ...messageField(7, graph),
    ...messageField(8, [...textField(1, ""), ...integerField(2, 13)]),
    ...textField(6, "a text behind the graph"),
  ]);
}
