import type { Node } from "../../src/index.ts";
import { sha256 } from "../digests.ts";
import type { Holdings } from "../follow.ts";
import { Network, type Samples, type Sizes, type Weights } from "./network.ts";
import { readMeta } from "./task.ts";

/** What the runner compares: all arrays bit by bit, and what the metadata says. */
export function holdings(node: Node): Holdings {
  return node.read((_, view) => {
    const names = node.schema.arrays.flatMap(({ name }) => name ?? []);
    const digests = Object.fromEntries(names.map((name) => [name, sha256(view.array(name).data)]));
    const meta = readMeta(view.meta);
    return { digests, values: meta ? { step: meta.step, loss: meta.loss } : {} };
  });
}

/** What the weights that `node` has now make of the samples, computed in TypeScript. */
export function classified(node: Node, sizes: Sizes, samples: Samples): Uint8Array {
  return node.read((_, view) => {
    const data = (name: keyof Weights) => view.array(name).data as Float32Array;
    const weights = { w1: data("w1"), b1: data("b1"), w2: data("w2"), b2: data("b2") };
    return new Network(sizes, weights).classify(samples);
  });
}

/** How many classes are the right ones. */
export function countRight(classes: Uint8Array, { labels }: Samples): number {
  return labels.reduce((sum, label, i) => sum + Number(classes[i] === label), 0);
}
