import type { Schema } from "../../array/schema.ts";
import { stridesOf } from "../../array/shape.ts";
import { segmentCount } from "../../array/strided.ts";
import { checkRegion, type Region, segmentsMax } from "../../delta/region.ts";
import { intersect, type Runs } from "../../delta/runs.ts";
import { refuse } from "../../protocol/fault.ts";
import { Purse } from "./purse.ts";

/** So many subscriptions of one link may cover a byte: a commit, or a first state, is never sent more often than that. */
export const overlapMax = 4;

/** Separate stretches of memory under all subscriptions of one link. */
export const stretchesMax = segmentsMax;

/** The same under all that all links of a node follow, where followers of the same regions count as one: 16 bytes each, or 24. */
export const stretchesMaxOfNode = 16 * stretchesMax;

/** Regions of so few are always let in: they take less than everything else about a subscription. */
export const stretchesFew = 64;

/**
 * Work that one link may ask for at once, and each second from then on, in stretches. A subscription of a million of them takes half a
 * second until its first state goes out, so this is a second at once, and an eighth of a core from then on.
 */
export const creditMax = 2 * stretchesMax;
export const creditPerSecond = stretchesMax / 4;

/**
 * Leaves of Merkle trees that one link may have hashed at once, and each second from then on: a second for the first GiB, and again an
 * eighth of a core. Whoever follows more is let in as well, and then has to wait for longer before anything else is hashed for it.
 */
export const leavesMax = 2 ** 18;
const leavesPerSecond = leavesMax / 8;

/** So many stretches can be compared in the time of what one of a subscription costs. */
const comparedPerCredit = 4;

export function hashingPurse(now: () => number): Purse {
  return new Purse(leavesMax, leavesPerSecond, now);
}

/** One subscription: the bytes that it covers, and what it has cost but for leaves. */
interface Held {
  readonly runs: Runs;
  readonly work: number;
}

/**
 * What one link may subscribe to: so that many subscriptions, or the same ones made and ended or repaired again and again, cost this node
 * no more than a few ordinary ones. Everything above is refused with the fault LIMIT, or UNSUPPORTED where waiting
 * would not help, and nothing is computed for it.
 */
export class Allowance {
  readonly #schema: Schema;
  readonly #work: Purse;
  readonly #hashing: Purse;
  readonly #held = new Map<number, Held>();
  #stretches = 0;
  /** What the request that is looked at has cost so far. */
  #spent = 0;

  /** `hashing` pays for leaves: where links may come again and again, they have one together. */
  constructor(schema: Schema, now: () => number, hashing = hashingPurse(now)) {
    this.#schema = schema;
    this.#work = new Purse(creditMax, creditPerSecond, now);
    this.#hashing = hashing;
  }

  /** Stretches under all subscriptions. */
  get stretches(): number {
    return this.#stretches;
  }

  /** Work that may be asked for now, in stretches. */
  get credit(): number {
    return this.#work.credit;
  }

  /** Before the runs of these regions are made: what that costs is paid, or refused. @throws LIMIT, UNSUPPORTED, INVALID_REGION */
  pay(regions: readonly Region[]): void {
    this.#spent = 0;
    this.#pay(regions.length); // before they are looked at, and also if they do not fit
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
    this.#pay(stretches + (this.#isCompared ? Math.min(this.#stretches, this.#held.size * stretches) : 0));
  }

  /** Whether the next subscription is compared with every other one: fewer cannot be too many. */
  get #isCompared(): boolean {
    return this.#held.size >= overlapMax;
  }

  /** What differs is to be found and sent again, which is as much work as the first time. @throws LIMIT */
  payAgain(subscription: number): void {
    this.#work.pay((this.#held.get(subscription)?.runs.length ?? 0) / 2);
  }

  /** A tree of so many leaves is to be hashed, which others who follow the same get for nothing. @throws LIMIT */
  payLeaves(leaves: number): void {
    this.#hashing.owe(leaves);
  }

  #pay(cost: number): void {
    this.#work.pay(cost);
    this.#spend(cost);
  }

  #spend(work: number): void {
    this.#spent += work;
  }

  #stretchesOf(regions: readonly Region[]): number {
    let count = 0;
    for (const region of regions) {
      const { shape } = checkRegion(this.#schema, region);
      count += segmentCount({ shape: region.shape, strides: stridesOf(shape), offset: 0 });
    }
    return count;
  }

  /** Whether these bytes may be covered once more. What there is in common costs as well, and is not known before. @throws LIMIT */
  check(runs: Runs): void {
    if (!this.#isCompared) return;
    const shared = [...this.#held.values()]
      .map((others) => intersect(others.runs, runs))
      .filter(({ length }) => length > 0);
    const cost = countOf(shared) / comparedPerCredit;
    this.#work.owe(cost);
    this.#spend(cost);
    if (shared.length >= overlapMax && depthOf(shared) >= overlapMax)
      refuse("LIMIT", `At most ${overlapMax} subscriptions of a link may cover the same bytes.`);
  }

  /** The request has been let in, and covers these bytes. */
  add(subscription: number, runs: Runs): void {
    this.#held.set(subscription, { runs, work: this.#spent });
    this.#spent = 0;
    this.#stretches += runs.length / 2;
  }

  /**
   * That one has ended because its follower was too slow: it may ask for the same again at once. What was hashed for it stays paid: its
   * tree may go with it, and a follower is too slow whenever it likes.
   */
  giveBack(subscription: number): void {
    this.#work.giveBack(this.#held.get(subscription)?.work ?? 0);
  }

  delete(subscription: number): void {
    const held = this.#held.get(subscription);
    if (!held) return;
    this.#held.delete(subscription);
    this.#stretches -= held.runs.length / 2;
  }
}

/** Stretches of all of them. */
function countOf(sets: readonly Runs[]): number {
  return sets.reduce((sum, runs) => sum + runs.length / 2, 0);
}

/** How many of these have a byte in common, where most of them do. */
function depthOf(sets: readonly Runs[]): number {
  const count = countOf(sets);
  const starts = new Float64Array(count);
  const ends = new Float64Array(count);
  let at = 0;
  for (const runs of sets)
    for (let i = 0; i < runs.length; i += 2) {
      starts[at] = runs[i]!;
      ends[at++] = runs[i]! + runs[i + 1]!;
    }
  starts.sort();
  ends.sort();
  let [ended, deepest] = [0, 0];
  for (let begun = 0; begun < count; begun++) {
    while (ends[ended]! <= starts[begun]!) ended++;
    deepest = Math.max(deepest, begun + 1 - ended);
  }
  return deepest;
}
