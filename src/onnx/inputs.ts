import { type Dtype, newView, type TypedArray } from "../array/dtype.ts";
import { sizeOf } from "../array/shape.ts";
import { fail } from "../errors.ts";
import { elements } from "./element.ts";

/** What is needed of a node; those of `start` and of `attach` have it. */
export interface WeightNode {
  readonly name: string;
  readonly version: Readonly<Record<string, number>>;
  readonly meta: unknown;
  read<R>(use: (main: WeightArray, view: WeightView) => R): R;
  ndarray(name: string): WeightArray;
}

export interface WeightArray {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly data: TypedArray;
  copyTo(target: TypedArray): void;
}

export interface WeightView {
  readonly version: number;
  readonly meta: unknown;
  array(name: string): WeightArray;
}

/** `Tensor` of onnxruntime-node, or of another onnxruntime for JavaScript. */
export type TensorClass<T> = new (type: never, data: never, dims: readonly number[]) => T;

/** Weights as a session wants them: by the name of its input. */
export type Feeds<T> = Readonly<Record<string, T>>;

/** What came out, and the one version of all weights that went in. */
export interface Whole<R> {
  readonly version: number;
  /** Metadata of that version. */
  readonly meta: unknown;
  readonly result: R;
}

/** A private copy of all weights at one version. */
interface Copy<T> {
  readonly data: readonly TypedArray[];
  readonly feeds: Feeds<T>;
  version: number;
  meta: unknown;
  /** Runs that look at it. */
  runs: number;
}

const attemptsMax = 3;

/**
 * The arrays of a node as inputs of an ONNX session. What runs never sees half of a version, although versions come in
 * meanwhile: {@link WeightInputs.run} gives it a copy; {@link WeightInputs.runLive} the mapped memory itself, and runs again if
 * that was not one version from start to end.
 *
 * ```ts
 * const { model, weights } = modelWithInputs(await Bun.file("model.onnx").bytes());
 * const session = await InferenceSession.create(model);
 * const inputs = new WeightInputs(node, weights, Tensor);
 * const { result, version } = await inputs.run((feeds) => session.run({ ...feeds, x }));
 * ```
 */
export class WeightInputs<T> {
  readonly #node: WeightNode;
  readonly #weights: readonly { readonly name: string; readonly array: string }[];
  readonly #tensor: TensorClass<T>;
  readonly #copies: Copy<T>[] = [];
  #live: Feeds<T> | undefined;

  /** `weights`: from {@link modelWithInputs}, or names that an input of the session and an array of the node share. */
  constructor(
    node: WeightNode,
    weights: readonly (string | { readonly name: string; readonly array: string })[],
    tensor: TensorClass<T>,
  ) {
    this.#node = node;
    this.#tensor = tensor;
    this.#weights = weights.map((one) => (typeof one === "string" ? { name: one, array: one } : one));
  }

  /**
   * Calls `use` with the newest version, copied once, into memory that is used again, and only if there was a commit since the copy
   * before. The tensors keep their values until what `use` returns has settled.
   */
  async run<R>(use: (feeds: Feeds<T>) => Promise<R>): Promise<Whole<R>> {
    const copy = this.#newest();
    const { version, meta } = copy;
    copy.runs++;
    try {
      return { version, meta, result: await use(copy.feeds) };
    } finally {
      copy.runs--;
    }
  }

  /**
   * Calls `use` with the committed memory itself, no copy, and again if a version came in before it was done; after three such
   * calls, with a copy. For large weights that change seldom. READ_ONLY for a node of `attach`: another
   * process may be in the middle of a commit there, so use {@link WeightInputs.run}.
   */
  async runLive<R>(use: (feeds: Feeds<T>) => Promise<R>): Promise<Whole<R>> {
    const feeds = (this.#live ??= this.#liveFeeds());
    for (let attempt = 0; attempt < attemptsMax; attempt++) {
      const before = this.#version();
      const result = await use(feeds);
      if (this.#version() === before) return { version: before, meta: this.#node.meta, result };
    }
    return this.run(use);
  }

  #version(): number {
    return this.#node.version[this.#node.name] ?? 0;
  }

  #newest(): Copy<T> {
    return this.#node.read((_, view) => {
      const current = this.#copies.find(({ version }) => version === view.version);
      if (current) return current;
      const arrays = this.#weights.map(({ array }) => view.array(array));
      const copy = this.#copies.find(({ runs }) => runs === 0) ?? this.#makeCopy(arrays);
      for (const [i, array] of arrays.entries()) array.copyTo(copy.data[i]!);
      copy.version = view.version;
      copy.meta = view.meta;
      return copy;
    });
  }

  #makeCopy(arrays: readonly WeightArray[]): Copy<T> {
    const data = arrays.map(({ dtype, shape }) => newView<Dtype>(dtype, sizeOf(shape)));
    const copy = { data, feeds: this.#feeds(arrays, data), version: -1, meta: undefined, runs: 0 };
    this.#copies.push(copy);
    return copy;
  }

  #liveFeeds(): Feeds<T> {
    const arrays = this.#weights.map(({ array }) => this.#node.ndarray(array));
    // A node reads the committed memory itself where nobody but this thread commits, and a copy of it elsewhere.
    const read = this.#node.read((_, view) =>
      this.#weights.map(({ array }) => view.array(array).data.buffer),
    );
    if (arrays.some(({ data }, i) => data.buffer !== read[i]))
      fail(
        "READ_ONLY",
        `${this.#node.name}: another process commits here, so run() with a copy, not runLive()`,
      );
    const data = arrays.map((array) => array.data);
    return this.#feeds(arrays, data);
  }

  #feeds(arrays: readonly WeightArray[], data: readonly TypedArray[]): Feeds<T> {
    const Tensor = this.#tensor;
    const tensors = arrays.map(
      ({ dtype, shape }, i) => new Tensor(elements[dtype].tensor as never, data[i] as never, [...shape]),
    );
    return Object.fromEntries(this.#weights.map(({ name }, i) => [name, tensors[i] as T]));
  }
}
