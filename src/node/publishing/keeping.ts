import { type Runs, totalBytes } from "../../delta/runs.ts";
import type { World } from "../runtime/world.ts";
import type { Encoding, Reader, Reading } from "./encoding.ts";

export interface KeepingLimits {
  /** What may be kept for followers that are in the middle of a delta while commits change its bytes. */
  readonly bytesMax: number;
  /** Who takes no part of a delta for so long stands still, ms. */
  readonly patienceMs: number;
}

/** This, or twice the image if that is more. */
const bytesMaxLeast = 64 * 1024 * 1024;

const patienceMsDefault = 10_000;

/** When so many times the patience has passed in vain, the one goes that would take longest, though it moves. */
const patiencesMax = 3;

/** Deltas of up to this share of what may be kept never wait. */
const smallShare = 1 / 64;

/** How fast it is forgotten, from commit to commit, that one changed much. */
const churnDecay = 0.95;

const holds = ({ encoding }: Reading) => encoding.heldBytes > 0;

/** A delta that waits until there is room. */
interface Wait {
  readonly link: Reader;
  readonly since: number;
  /** Whether it has begun, or needs to no longer. */
  tryAgain(): boolean;
}

/**
 * What is kept of former versions for followers that are in the middle of a delta. Where it would become more than may be, new deltas
 * wait until others have moved on: what is committed meanwhile goes with them, so that a crowd of slow followers costs them rounds and
 * not their links. Those that stand still are ended.
 */
export class Keeping {
  readonly #limits: KeepingLimits;
  readonly #imageBytes: number;
  readonly #world: World;
  /** On their way to somebody. */
  readonly #taken = new Set<Encoding>();
  /** Those of them, and of what waits to be, of which a commit may change something that is still needed. */
  readonly #loose = new Set<Encoding>();
  readonly #waits = new Set<Wait>();
  /** The share of the image that the commits of late have changed at most. */
  #churn = 0;
  #cancelLook: (() => void) | null = null;
  #willWake = false;
  #endedAt = Number.NEGATIVE_INFINITY;

  constructor(imageBytes: number, world: World, limits: Partial<KeepingLimits> = {}) {
    this.#imageBytes = imageBytes;
    this.#world = world;
    this.#limits = {
      bytesMax: Math.max(bytesMaxLeast, 2 * imageBytes),
      patienceMs: patienceMsDefault,
      ...limits,
    };
  }

  /** What may be kept. */
  get bytesMax(): number {
    return this.#limits.bytesMax;
  }

  add(reading: Reading): void {
    reading.encoding.join(reading);
    this.#loose.add(reading.encoding);
  }

  begin(reading: Reading): void {
    reading.encoding.begin(reading, this.#world.now());
    this.#taken.add(reading.encoding);
  }

  /**
   * It waits for others before it, and all of it is copied now: to look at each commit whether that changes what waits would cost the
   * writer more, the more there is waiting.
   */
  putBy({ encoding }: Reading): void {
    encoding.freeze(null);
    this.#loose.delete(encoding);
  }

  moved(reading: Reading): void {
    reading.movedAt = this.#world.now();
    if (reading.encoding.advance(reading)) this.#wakeSoon();
  }

  /** Whether it was the last one of its encoding. */
  remove(reading: Reading): boolean {
    const { encoding } = reading;
    if (encoding.leave(reading)) this.#wakeSoon();
    if (!encoding.isTaken) this.#taken.delete(encoding);
    if (encoding.readings.size > 0) return false;
    this.#loose.delete(encoding);
    return true;
  }

  /** Bytes of former versions that are kept for deltas under way; what only waits in a backlog is counted there. */
  get heldBytes(): number {
    let held = 0;
    for (const encoding of this.#taken) held += encoding.heldBytes;
    return held;
  }

  /** Deltas that wait until there is room. */
  get waiting(): number {
    return this.#waits.size;
  }

  /** Whether one more reading of it fits, if the next commits are like those of late. */
  hasRoomFor(encoding: Encoding): boolean {
    const { bytesMax } = this.#limits;
    const { totalBytes, runsBytes } = encoding;
    if (totalBytes + runsBytes <= bytesMax * smallShare) return true;
    let [isFirst, expected, more] = [true, 0, runsBytes + this.#churn * totalBytes];
    for (const each of this.#taken) {
      isFirst = false;
      expected += each.heldBytes + this.#churn * each.looseBytes;
      if (each === encoding) more -= runsBytes + this.#churn * each.leftBytes;
    }
    return isFirst || expected + more <= bytesMax;
  }

  /** Tries again when there may be room, until `tryAgain` is true. The result calls it off. */
  wait(link: Reader, tryAgain: () => boolean): () => void {
    const wait = { link, since: this.#world.now(), tryAgain };
    this.#waits.add(wait);
    this.#look();
    return () => this.#forget(wait);
  }

  /** A timer for nobody would hold up the end of the process. */
  #forget(wait: Wait): void {
    this.#waits.delete(wait);
    if (this.#waits.size > 0) return;
    this.#cancelLook?.();
    this.#cancelLook = null;
  }

  #wakeSoon(): void {
    if (this.#willWake || this.#waits.size === 0) return;
    this.#willWake = true;
    this.#world.soon(() => {
      this.#willWake = false;
      this.#wake();
    });
  }

  /** In the order in which they came, as far as they fit. */
  #wake(): void {
    for (const wait of [...this.#waits]) {
      if (!this.#waits.has(wait)) continue;
      try {
        if (!wait.tryAgain()) return;
      } catch (error) {
        wait.link.failed(error);
      }
      this.#forget(wait);
    }
  }

  /** These bytes are about to change: those that somebody still needs are copied. */
  freeze(changing: () => Runs): void {
    if (this.#taken.size + this.#loose.size === 0) return;
    const runs = changing();
    this.#churn = Math.max(totalBytes(runs) / this.#imageBytes, this.#churn * churnDecay);
    const { bytesMax } = this.#limits;
    let held = this.heldBytes;
    for (const encoding of [...this.#loose]) {
      if (!this.#loose.has(encoding)) continue;
      const before = encoding.heldBytes;
      encoding.freeze(runs);
      if (encoding.isFrozen) this.#loose.delete(encoding);
      if (!encoding.isTaken) continue;
      held += encoding.heldBytes - before;
      if (held <= 2 * bytesMax) continue;
      // Nobody could foresee it, and memory is not to be had for it.
      this.#end(Infinity, () => this.heldBytes <= 2 * bytesMax, holds);
      held = this.heldBytes;
    }
    if (held > bytesMax) this.#endStill(() => this.heldBytes <= bytesMax, holds);
  }

  /** Ends those that stand still. */
  #endStill(isEnough: () => boolean, concerns?: (reading: Reading) => boolean): void {
    this.#end(this.#world.now() - this.#limits.patienceMs, isEnough, concerns);
  }

  /** Those that have not moved since then go, the one first that has not for the longest time, until it is enough. */
  #end(
    movedBefore: number,
    isEnough: () => boolean,
    concerns: (reading: Reading) => boolean = () => true,
  ): void {
    const readings = this.#readings().filter((each) => each.movedAt! <= movedBefore && concerns(each));
    for (const reading of readings.sort((a, b) => a.movedAt! - b.movedAt!)) {
      if (isEnough()) return;
      if (reading.encoding.readings.has(reading)) reading.link.tooSlow();
    }
  }

  #readings(): Reading[] {
    return [...this.#taken].flatMap(({ readings }) =>
      [...readings].filter(({ movedAt }) => movedAt !== null),
    );
  }

  /** Now and then while somebody waits: nothing else may happen that would end those who stand still. */
  #look(): void {
    this.#cancelLook ??= this.#world.after(this.#limits.patienceMs / 4, () => {
      this.#cancelLook = null;
      this.#wake();
      const [first] = this.#waits;
      if (!first) return;
      const isServed = () => {
        this.#wake();
        return !this.#waits.has(first);
      };
      this.#endStill(isServed);
      if (!isServed()) this.#endSlowest(first);
      if (this.#waits.size > 0) this.#look();
    });
  }

  /** Nobody is to keep all others waiting by taking a little now and then. */
  #endSlowest({ since }: Wait): void {
    const now = this.#world.now();
    const { patienceMs } = this.#limits;
    if (now - Math.max(since, this.#endedAt) < patiencesMax * patienceMs) return;
    const msLeft = ({ encoding: { partCount }, next, begunAt }: Reading) =>
      ((partCount - next) * (now - begunAt)) / Math.max(next, 1);
    const [slowest] = this.#readings().sort((a, b) => msLeft(b) - msLeft(a));
    this.#endedAt = now;
    slowest?.link.tooSlow();
  }
}
