/** A session of ONNX Runtime that sorts samples into classes, with weights that come from a node. */
import type { InferenceSession, Tensor } from "onnxruntime-node";
import { type Feeds, WeightInputs, type WeightNode, type Whole } from "../../src/onnx/index.ts";
import { optional } from "../optional.ts";
import { argmax, type Samples } from "./network.ts";

/** How a run gets at the weights: each version copied once, or the mapped memory itself and a look afterwards. */
export const feedings = ["copy", "live"] as const;

export interface Answers {
  /** The class of every sample. */
  readonly classes: Uint8Array;
  /** [samples, classes], C order. */
  readonly scores: Float32Array;
  readonly milliseconds: number;
}

export type Feeding = (typeof feedings)[number];
export type WeightNames = ConstructorParameters<typeof WeightInputs>[1];

export class Classifier {
  readonly #session: InferenceSession;
  readonly #weights: WeightInputs<Tensor>;
  readonly #feeding: Feeding;
  readonly #batches: readonly Record<string, Tensor>[];
  readonly #count: number;
  readonly #output: string;

  private constructor(
    session: InferenceSession,
    weights: WeightInputs<Tensor>,
    feeding: Feeding,
    batches: readonly Record<string, Tensor>[],
    count: number,
  ) {
    this.#session = session;
    this.#weights = weights;
    this.#feeding = feeding;
    this.#batches = batches;
    this.#count = count;
    this.#output = session.outputNames[0] ?? "";
  }

  /** The one input of `model` that is no weight takes the samples: all at once, or as many at a time as its first dimension says. */
  static async open(
    model: Uint8Array,
    node: WeightNode,
    weights: WeightNames,
    samples: Samples,
    feeding: Feeding,
  ): Promise<Classifier> {
    const { InferenceSession, Tensor } = await optional("onnxruntime-node", () => import("onnxruntime-node"));
    const session = await InferenceSession.create(model);
    const names = weights.map((weight) => (typeof weight === "string" ? weight : weight.name));
    const input = session.inputMetadata.find(({ name }) => !names.includes(name));
    if (!input?.isTensor) throw new Error("the model has no input but its weights");
    const count = samples.labels.length;
    const [rows, ...sizes] = input.shape;
    const perRun = typeof rows === "number" ? rows : count;
    const width = samples.inputs.length / count;
    const batches = Array.from({ length: count / perRun }, (_, i) => {
      const data = samples.inputs.subarray(i * perRun * width, (i + 1) * perRun * width);
      return { [input.name]: new Tensor("float32", data, [perRun, ...sizes.map(Number)]) };
    });
    return new Classifier(session, new WeightInputs(node, weights, Tensor), feeding, batches, count);
  }

  /** All samples, all with the same version of the weights. */
  async classify(): Promise<Whole<Answers>> {
    const weights = this.#weights;
    return await (this.#feeding === "live"
      ? weights.runLive((feeds) => this.#runAll(feeds))
      : weights.run((feeds) => this.#runAll(feeds)));
  }

  async #runAll(feeds: Feeds<Tensor>): Promise<Answers> {
    const start = performance.now();
    const parts: number[] = [];
    for (const batch of this.#batches) {
      const outputs = await this.#session.run({ ...feeds, ...batch });
      parts.push(...(outputs[this.#output]?.data as Float32Array));
    }
    const scores = Float32Array.from(parts);
    const width = scores.length / this.#count;
    const classes = Uint8Array.from({ length: this.#count }, (_, row) => argmax(scores, row * width, width));
    return { classes, scores, milliseconds: performance.now() - start };
  }
}
