import type { Dtype, TypedArray } from "../array/dtype.ts";
import type { NdArray } from "../array/ndarray.ts";
import { nameCharactersMax } from "../array/schema.ts";
import { fail } from "../errors.ts";
import { inputField } from "./graph.ts";
import { fields, join, messageField, text } from "./protobuf.ts";
import { StoredTensor } from "./tensor.ts";

/** One weight of a model. */
export interface Weight {
  /** Its name in the model, and the name of the input that it becomes. */
  readonly name: string;
  /** The array of a node that holds it: the same name, with `_` for characters that an array's name cannot have. */
  readonly array: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** The values that the model came with, C order. */
  readonly data: TypedArray;
}

/** A model without its weights, and the weights. */
export interface OpenedModel {
  readonly model: Uint8Array<ArrayBuffer>;
  readonly weights: readonly Weight[];
}

const modelGraph = 7;
const graphInitializer = 5;
const graphInput = 11;

/**
 * Takes the weights out of an ONNX model: they become inputs, which a session then wants to be fed, and the rest of the model stays as it
 * is, byte for byte. Weights are the initializers of a float dtype; `isWeight` chooses otherwise. (A value that is both
 * an initializer and fed keeps the initializer's value in onnxruntime, without a word: so they have to go.)
 *
 * FORMAT: no ONNX model. INVALID_OPTION: its weights are in another file.
 */
export function modelWithInputs(
  bytes: Uint8Array,
  isWeight: (weight: Pick<Weight, "name" | "dtype" | "shape">) => boolean = isFloat,
): OpenedModel {
  const weights: Weight[] = [];
  let graphs = 0;
  const pieces = [...fields(bytes)].flatMap((field) => {
    if (field.number !== modelGraph) return [field.raw];
    graphs++;
    return messageField(modelGraph, openGraph(field.bytes, isWeight, weights));
  });
  if (graphs !== 1) fail("FORMAT", "no ONNX model: it has no graph");
  return { model: join(pieces), weights };
}

function isFloat({ dtype }: Pick<Weight, "dtype">): boolean {
  return dtype === "f16" || dtype === "f32" || dtype === "f64";
}

function openGraph(
  graph: Uint8Array,
  isWeight: NonNullable<Parameters<typeof modelWithInputs>[1]>,
  weights: Weight[],
): Uint8Array[] {
  const kept: Uint8Array[] = [];
  const inputs = new Set<string>();
  for (const field of fields(graph)) {
    if (field.number === graphInput) inputs.add(nameOf(field.bytes));
    const tensor = field.number === graphInitializer ? new StoredTensor(field.bytes) : undefined;
    const weight = tensor && asWeight(tensor, weights);
    if (weight && isWeight(weight)) weights.push({ ...weight, data: tensor.values() });
    else kept.push(field.raw);
  }
  // Old models list their initializers among the inputs already.
  const added = weights.filter(({ name }) => !inputs.has(name));
  return [...kept, ...added.flatMap((weight) => inputField(graphInput, weight))];
}

/** For a number where two names become one, and for the stamps of a mesh. */
const roomBehindName = 16;

/** Undefined for what cannot be an array: an element type that we do not have, no elements, no name. */
function asWeight(
  { name, dtype, shape }: StoredTensor,
  taken: readonly Weight[],
): Omit<Weight, "data"> | undefined {
  if (dtype === undefined || name === "" || shape.some((size) => size < 1)) return undefined;
  const array = name.replace(/[^A-Za-z0-9_.:-]/g, "_").slice(0, nameCharactersMax - roomBehindName);
  const isTaken = (wanted: string) => taken.some((weight) => weight.array === wanted);
  let free = array;
  for (let i = 2; isTaken(free); i++) free = `${array}:${i}`;
  return { name, array: free, dtype, shape };
}

const valueName = 1;

function nameOf(valueInfo: Uint8Array): string {
  for (const field of fields(valueInfo)) if (field.number === valueName) return text(field);
  return "";
}

/** The weights as the option `arrays` of `start`. */
export function weightArrays(
  weights: readonly Weight[],
): Record<string, { shape: readonly number[]; dtype: Dtype }> {
  return Object.fromEntries(weights.map(({ array, dtype, shape }) => [array, { dtype, shape }]));
}

/** Stores the weights in the arrays of a transaction: `node.write((_, tx) => assignWeights(tx, weights))`. */
export function assignWeights(tx: { array(name: string): NdArray }, weights: readonly Weight[]): void {
  for (const { array, data } of weights) tx.array(array).assign(data as never);
}
