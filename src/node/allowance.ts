import { stridesOf } from "../array/shape.ts";
import { segmentCount } from "../array/strided.ts";
import type { Schema } from "../array/schema.ts";
import { checkRegion, type Region, segmentsMax } from "../delta/region.ts";
import { eachCommon, intersect, intersects, noRuns, RunBuilder, type Runs, union } from "../delta/runs.ts";
import { refuse } from "../protocol/fault.ts";

/** So many subscriptions of one link may cover a byte: a commit, or a first state, is never sent more often than that. */
export const overlapMax = 4;

/** Separate stretches of memory under all subscriptions of one link. */
export const stretchesMax = segmentsMax;

/**
 * Work that one link may ask for at once, and each second from then on, in stretches. A subscription of a million of them takes half a
 * second until its first state goes out, so this is a second at once, and an eighth of a core from then on.
 */
export const creditMax = 2 * stretchesMax;
export const creditPerSecond = stretchesMax / 4;

/**
 * What one link may subscribe to: so that many subscriptions, or the same ones made and ended again and again, cost this node no more
 * than a few ordinary ones. Everything above is refused with the fault LIMIT, or UNSUPPORTED where waiting
 * would not help, and nothing is computed for it.
 */
export class Allowance {
  readonly #schema: Schema;
  readonly #now: () => number;
  readonly #runsOf = new Map<number, Runs>();
  /** `#layers[k]`: the bytes that more than k subscriptions cover. */
  #layers: Runs[] = Array.from({ length: overlapMax }, () => noRuns);
  #stretches = 0;
  #credit = creditMax;
  #creditAt: number;

  constructor(schema: Schema, now: () => number) {
    this.#schema = schema;
    this.#now = now;
    this.#creditAt = now();
  }

  /** Stretches under all subscriptions. */
  get stretches(): number {
    return this.#stretches;
  }

  /** Before the runs of these regions are made: what that costs is paid, or refused. @throws LIMIT, UNSUPPORTED, INVALID_REGION */
  pay(regions: readonly Region[]): void {
    const now = this.#now();
    this.#credit = Math.min(creditMax, this.#credit + ((now - this.#creditAt) / 1000) * creditPerSecond);
    this.#creditAt = now;
    const cost = regions.length + this.#stretches;
    if (cost > this.#credit)
      refuse("LIMIT", "This link asks for too much in too short a time: wait a second.");
    this.#credit -= cost; // paid before the regions are looked at, and also if they do not fit
    const stretches = this.#stretchesOf(regions);
    if (stretches > stretchesMax)
      refuse(
        "UNSUPPORTED",
        `These regions are ${stretches} separate stretches of memory, at most ${stretchesMax} fit one link.`,
      );
    if (this.#stretches + stretches > stretchesMax)
      refuse(
        "LIMIT",
        `All subscriptions of a link may take up ${stretchesMax} separate stretches of memory.`,
      );
    if (stretches > this.#credit)
      refuse("LIMIT", "This link asks for too much in too short a time: wait a second.");
    this.#credit -= stretches;
  }

  #stretchesOf(regions: readonly Region[]): number {
    let count = 0;
    for (const region of regions) {
      const { shape } = checkRegion(this.#schema, region);
      count += segmentCount({ shape: region.shape, strides: stridesOf(shape), offset: 0 });
    }
    return count;
  }

  /** One more subscription, which covers these bytes. @throws LIMIT */
  add(subscription: number, runs: Runs): void {
    if (intersects(this.#layers[overlapMax - 1]!, runs))
      refuse("LIMIT", `At most ${overlapMax} subscriptions of a link may cover the same bytes.`);
    let above = runs;
    this.#layers = this.#layers.map((layer) => {
      const here = above;
      above = intersect(layer, here);
      return union(layer, here);
    });
    this.#runsOf.set(subscription, runs);
    this.#stretches += runs.length / 2;
  }

  /** That one has ended by no fault of the follower's: it may ask for the same again at once. */
  giveBack(subscription: number): void {
    const runs = this.#runsOf.get(subscription);
    if (runs) this.#credit += runs.length / 2 + this.#stretches;
  }

  delete(subscription: number): void {
    const runs = this.#runsOf.get(subscription);
    if (!runs) return;
    this.#runsOf.delete(subscription);
    this.#stretches -= runs.length / 2;
    let left = runs;
    for (let k = overlapMax - 1; k >= 0; k--) {
      const layer = this.#layers[k]!;
      this.#layers[k] = without(layer, left);
      left = without(left, layer);
    }
  }
}

/** The bytes of `a` that are not in `b`. */
function without(a: Runs, b: Runs): Runs {
  const out = new RunBuilder();
  let i = 0;
  let from = a[0]!;
  const finishRun = () => {
    const end = a[i]! + a[i + 1]!;
    out.add(from, end - from);
    i += 2;
    from = a[i]!;
  };
  eachCommon(a, b, (offset, length) => {
    while (a[i]! + a[i + 1]! <= offset) finishRun();
    out.add(from, offset - from);
    from = offset + length;
    return true;
  });
  while (i < a.length) finishRun();
  return out.finish();
}
