import type { Dtype } from "../array/dtype.ts";
import { elements } from "./element.ts";
import { floatField, integerField, join, type Message, messageField, textField } from "./protobuf.ts";

/** An input or output of a graph. A dimension is a number, or a name for one that is known when it is run. */
export interface Value {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly (number | string)[];
}

export type Attribute =
  { readonly int: number } | { readonly float: number } | { readonly ints: readonly number[] };

/** One operator, as in the list at onnx.ai: `{ op: "Gemm", inputs: ["x", "w", "b"], outputs: ["y"] }`. */
export interface Operator {
  readonly op: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes?: Readonly<Record<string, Attribute>>;
}

export interface Graph {
  readonly name: string;
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  /** In an order in which each finds its inputs computed. */
  readonly operators: readonly Operator[];
  /** Version of the operators; 13 if left out. */
  readonly opset?: number;
}

const irVersion = 8;

/** The bytes of an ONNX model: a graph without weights, everything it needs is an input. Whoever runs it checks it. */
export function writeModel({ name, inputs, outputs, operators, opset = 13 }: Graph): Uint8Array<ArrayBuffer> {
  const graph = [
    ...operators.flatMap((one) => messageField(1, operatorMessage(one))),
    ...textField(2, name),
    ...inputs.flatMap((value) => inputField(11, value)),
    ...outputs.flatMap((value) => inputField(12, value)),
  ];
  return join([
    ...integerField(1, irVersion),
    ...textField(2, "memblast"),
    ...messageField(7, graph),
    ...messageField(8, integerField(2, opset)),
  ]);
}

/** A ValueInfoProto as field `number`: name, element type and shape. */
export function inputField(number: number, { name, dtype, shape }: Value): Message {
  const dimensions = shape.flatMap((size) =>
    messageField(1, typeof size === "number" ? integerField(1, size) : textField(2, size)),
  );
  const tensor = [...integerField(1, elements[dtype].onnx), ...messageField(2, dimensions)];
  return messageField(number, [...textField(1, name), ...messageField(2, messageField(1, tensor))]);
}

function operatorMessage({ op, inputs, outputs, attributes = {} }: Operator): Message {
  return [
    ...inputs.flatMap((name) => textField(1, name)),
    ...outputs.flatMap((name) => textField(2, name)),
    ...textField(4, op),
    ...Object.entries(attributes).flatMap(([name, value]) => messageField(5, attributeMessage(name, value))),
  ];
}

const attributeType = { float: 1, int: 2, ints: 7 } as const;

function attributeMessage(name: string, value: Attribute): Message {
  const typed = (type: number, fields: Message) => [
    ...textField(1, name),
    ...fields,
    ...integerField(20, type),
  ];
  if ("float" in value) return typed(attributeType.float, floatField(2, value.float));
  if ("int" in value) return typed(attributeType.int, integerField(3, value.int));
  return typed(
    attributeType.ints,
    value.ints.flatMap((one) => integerField(8, one)),
  );
}
