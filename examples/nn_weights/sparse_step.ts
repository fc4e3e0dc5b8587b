/** The steps of the sparse bench: what a training step changes in a large array of bf16, and what came of it. */
import type { NdArray, Node } from "../../src/index.ts";
import { seeded } from "../random.ts";

/** Elements of a row: 8 KiB of bf16. */
export const rowElements = 4096;

export const kinds = ["everything", "rows", "elements"] as const;
export type Kind = (typeof kinds)[number];

/**
 * Moves bf16 values by the smallest step that they can make. `everything`: all of them. `rows`: whole rows, scattered, `percent` of
 * all (an embedding table, an expert, a LoRA merge). `elements`: as many single values, anywhere (the worst case). The
 * array has dtype u16, as JavaScript has no bf16. Returns how many values changed, at most.
 */
export function change(weights: NdArray, kind: Kind, percent: number, random: () => number): number {
  const rows = weights.shape[0] ?? 0;
  if (kind === "everything") {
    const data = weights.data as Uint16Array;
    for (let i = 0; i < data.length; i++) data[i]!++;
    return data.length;
  }
  const below = (limit: number) => Math.floor(random() * limit);
  if (kind === "rows") {
    const chosen = new Set<number>();
    while (chosen.size < Math.ceil((rows * percent) / 100)) chosen.add(below(rows));
    for (const row of chosen) {
      const data = weights.row(row).data as Uint16Array;
      for (let i = 0; i < data.length; i++) data[i]!++;
    }
    return chosen.size * rowElements;
  }
  const count = Math.ceil((weights.size * percent) / 100);
  for (let i = 0; i < count; i++) {
    const [row, column] = [below(rows), below(rowElements)];
    weights.set(row, column, (weights.get(row, column) as number) + 1);
  }
  return count;
}

export interface Step {
  readonly kind: Kind;
  readonly changedBytes: number;
  /** Sent over the network, with all headers. */
  readonly wireBytes: number;
  /** From the last change until the version stood. */
  readonly commitMs: number;
  /** From the last change until the follower had the version. */
  readonly arrivalMs: number;
}

/** The medians of the steps of each kind; kinds without a step are left out. */
export function summary(steps: readonly Step[]): Step[] {
  return kinds.flatMap((kind) => {
    const own = steps.filter((step) => step.kind === kind);
    if (own.length === 0) return [];
    const middle = (pick: (step: Step) => number) => median(own.map(pick));
    return {
      kind,
      changedBytes: middle((step) => step.changedBytes),
      wireBytes: middle((step) => step.wireBytes),
      commitMs: middle((step) => step.commitMs),
      arrivalMs: middle((step) => step.arrivalMs),
    };
  });
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? NaN;
}

/** One step at a time: from the commit here to its arrival there. */
export class Bench {
  readonly #node: Node;
  readonly #percent: number;
  readonly #random: () => number;
  #arrived: number;
  #awaited: { readonly version: number; done(): void } | undefined;

  constructor(node: Node, arrivals: Node, { percent, seed }: { percent: number; seed: number }) {
    this.#node = node;
    this.#percent = percent;
    this.#random = seeded(seed);
    this.#arrived = arrivals.read((a) => a.get(0) as number);
    arrivals.onUpdate(() => {
      this.#arrived = arrivals.read((a) => a.get(0) as number);
      if (this.#awaited && this.#arrived >= this.#awaited.version) this.#awaited.done();
    });
  }

  get isBusy(): boolean {
    return this.#awaited !== undefined || this.#arrived < this.#version;
  }

  get #version(): number {
    return this.#node.version["sparse_bench"] ?? 0;
  }

  get #sentBytes(): number {
    return this.#node.stats().links.reduce((sum, { sentBytes }) => sum + sentBytes, 0);
  }

  step(number: number, done: (step: Step) => void): void {
    const kind = kinds[number % kinds.length] ?? "rows";
    const sentBefore = this.#sentBytes;
    let changed = 0;
    let start = 0;
    this.#node.write((weights, tx) => {
      changed = change(weights, kind, this.#percent, this.#random);
      tx.meta = { step: number + 1, kind };
      start = performance.now();
    });
    const commitMs = performance.now() - start;
    this.#awaited = {
      version: this.#version,
      done: () => {
        this.#awaited = undefined;
        const arrivalMs = performance.now() - start;
        const wireBytes = this.#sentBytes - sentBefore;
        done({ kind, changedBytes: 2 * changed, wireBytes, commitMs, arrivalMs });
      },
    };
  }
}
