/** A network of two layers, trained by plain mini-batch gradient descent; and the same network as an ONNX graph. */
import { normal } from "../random.ts";
import { writeModel } from "../../src/onnx/index.ts";

/** Inputs, hidden neurons, classes. */
export type Sizes = readonly [inputs: number, hidden: number, classes: number];

/** Inputs as rows one after the other, and the right class of each. */
export interface Samples {
  readonly inputs: Float32Array;
  readonly labels: Uint8Array;
}

/** `w1` [inputs, hidden], `b1` [hidden], `w2` [hidden, classes], `b2` [classes]; in C order. */
export interface Weights {
  readonly w1: Float32Array;
  readonly b1: Float32Array;
  readonly w2: Float32Array;
  readonly b2: Float32Array;
}

export const weightNames = ["w1", "b1", "w2", "b2"] as const;

export function weightShapes([inputs, hidden, classes]: Sizes): Record<keyof Weights, readonly number[]> {
  return { w1: [inputs, hidden], b1: [hidden], w2: [hidden, classes], b2: [classes] };
}

/** `scores = tanh(x w1 + b1) w2 + b2` for any number of rows x; the weights are inputs. */
export function mlpModel(sizes: Sizes): Uint8Array {
  const shapes = weightShapes(sizes);
  return writeModel({
    name: "mlp",
    inputs: [
      { name: "x", dtype: "f32", shape: ["rows", sizes[0]] },
      ...weightNames.map((name) => ({ name, dtype: "f32" as const, shape: shapes[name] })),
    ],
    outputs: [{ name: "scores", dtype: "f32", shape: ["rows", sizes[2]] }],
    operators: [
      { op: "Gemm", inputs: ["x", "w1", "b1"], outputs: ["sums"] },
      { op: "Tanh", inputs: ["sums"], outputs: ["hidden"] },
      { op: "Gemm", inputs: ["hidden", "w2", "b2"], outputs: ["scores"] },
    ],
  });
}

function zeros([inputs, hidden, classes]: Sizes): Weights {
  return {
    w1: new Float32Array(inputs * hidden),
    b1: new Float32Array(hidden),
    w2: new Float32Array(hidden * classes),
    b2: new Float32Array(classes),
  };
}

export class Network {
  readonly sizes: Sizes;
  readonly weights: Weights;
  readonly #slopes: Weights;
  readonly #hidden: Float32Array;
  readonly #scores: Float32Array;

  /** Weights as given, or random ones. */
  constructor(sizes: Sizes, weights: Weights | (() => number)) {
    this.sizes = sizes;
    this.weights = typeof weights === "function" ? randomWeights(sizes, weights) : weights;
    this.#slopes = zeros(sizes);
    this.#hidden = new Float32Array(sizes[1]);
    this.#scores = new Float32Array(sizes[2]);
  }

  /** One step down the slope of the mean loss over the samples at `indices`. Returns that loss (cross entropy, in nats). */
  train(samples: Samples, indices: ArrayLike<number>, rate: number): number {
    for (const name of weightNames) this.#slopes[name].fill(0);
    let loss = 0;
    for (let i = 0; i < indices.length; i++) loss += this.#addSlopes(samples, indices[i] ?? 0);
    const step = rate / indices.length;
    for (const name of weightNames) {
      const weights = this.weights[name];
      const slopes = this.#slopes[name];
      for (let i = 0; i < weights.length; i++) weights[i]! -= step * slopes[i]!;
    }
    return loss / indices.length;
  }

  /** The class with the highest score for every sample. */
  classify({ inputs, labels }: Samples): Uint8Array {
    return Uint8Array.from(labels, (_, row) => {
      this.#forward(inputs, row * this.sizes[0]);
      return argmax(this.#scores);
    });
  }

  #forward(inputs: Float32Array, at: number): void {
    const [width, hidden, classes] = this.sizes;
    const { w1, b1, w2, b2 } = this.weights;
    const h = this.#hidden;
    h.set(b1);
    for (let i = 0; i < width; i++) {
      const x = inputs[at + i]!;
      if (x === 0) continue; // most of a digit's picture
      for (let j = 0, k = i * hidden; j < hidden; j++, k++) h[j]! += x * w1[k]!;
    }
    this.#scores.set(b2);
    for (let j = 0; j < hidden; j++) {
      const active = Math.tanh(h[j]!);
      h[j] = active;
      for (let c = 0, k = j * classes; c < classes; c++, k++) this.#scores[c]! += active * w2[k]!;
    }
  }

  #addSlopes({ inputs, labels }: Samples, row: number): number {
    const [width, hidden, classes] = this.sizes;
    const slopes = this.#slopes;
    const at = row * width;
    this.#forward(inputs, at);
    const label = labels[row] ?? 0;
    const chances = softmax(this.#scores);
    const loss = -Math.log(Math.max(chances[label]!, 1e-12));
    chances[label]! -= 1; // the slope of the loss in the scores
    const back = this.#hidden;
    for (let j = 0; j < hidden; j++) {
      const active = back[j]!;
      let sum = 0;
      for (let c = 0, k = j * classes; c < classes; c++, k++) {
        slopes.w2[k]! += active * chances[c]!;
        sum += this.weights.w2[k]! * chances[c]!;
      }
      back[j] = sum * (1 - active * active);
      slopes.b1[j]! += back[j]!;
    }
    for (let c = 0; c < classes; c++) slopes.b2[c]! += chances[c]!;
    for (let i = 0; i < width; i++) {
      const x = inputs[at + i]!;
      if (x === 0) continue;
      for (let j = 0, k = i * hidden; j < hidden; j++, k++) slopes.w1[k]! += x * back[j]!;
    }
    return loss;
  }
}

/** Index of the greatest of `count` values from `from` on. */
export function argmax(values: ArrayLike<number>, from = 0, count = values.length): number {
  let best = 0;
  for (let i = 1; i < count; i++) if (values[from + i]! > values[from + best]!) best = i;
  return best;
}

function softmax(scores: Float32Array): Float32Array {
  const highest = scores.reduce((a, b) => Math.max(a, b));
  const powers = scores.map((score) => Math.exp(score - highest));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / sum);
}

/** Such that a layer's sums have a deviation of about 1 (Glorot). */
function randomWeights(sizes: Sizes, random: () => number): Weights {
  const [inputs, hidden, classes] = sizes;
  const weights = zeros(sizes);
  const deviation = (a: number, b: number) => Math.sqrt(2 / (a + b));
  for (let i = 0; i < weights.w1.length; i++) weights.w1[i] = deviation(inputs, hidden) * normal(random);
  for (let i = 0; i < weights.w2.length; i++) weights.w2[i] = deviation(hidden, classes) * normal(random);
  return weights;
}
