import { fail } from "../errors.ts";

const tagBits = 11;
/** A clock has so many ticks in a millisecond; milliseconds count from 1970, so it is good until 2109. */
const ticksPerMs = 2 ** 11;
const clockMax = 2 ** 53 - 2;
/** The farthest that another's clock may be ahead of ours: beyond, its writes would win over everybody's for as long. */
export const aheadMsMax = 3_600_000;

/**
 * When and by whom an element was written, as a u64 in memory, little-endian: 53 bits of a hybrid clock, then 11 that tell writers of the
 * same moment apart. Zero: never.
 */
export function stampOf(clock: number, tag: number): bigint {
  return BigInt(clock) * BigInt(2 ** tagBits) + BigInt(tag);
}

export function clockOf(stamp: bigint): number {
  return Number(stamp >> BigInt(tagBits));
}

/**
 * A hybrid clock (Kulkarni, Demirbas et al., "Logical Physical Clocks", 2014): never behind what it has seen, and as near to the wall
 * clock as that allows. With it a write that knows of another one is the later of the two, however wrong the clocks are.
 */
export class HybridClock {
  /** Tells writers apart; two of the same tag are told apart by what they wrote. */
  readonly tag: number;
  readonly #wallMs: () => number;
  #last = 0;

  /** `wallMs` are milliseconds since 1970, and may jump; of `identity` 11 bits count. */
  constructor(wallMs: () => number, identity: number) {
    this.#wallMs = wallMs;
    this.tag = identity % 2 ** tagBits;
  }

  /**
   * A moment after all that it has given or seen, unless that is beyond {@link HybridClock.limit}: a wall clock that was far ahead and has
   * been set back.
   * @throws CLOCK_AHEAD where the wall clock shows no time that a stamp can hold
   */
  next(): number {
    const wallMs = this.#wallMs();
    const now = Math.floor(wallMs * ticksPerMs);
    if (!(now >= 0 && now <= clockMax))
      fail("CLOCK_AHEAD", `This machine's clock shows ${wallMs} ms since 1970; set it before writing`, {
        wallMs,
      });
    this.#last = this.#last > this.limit ? now : Math.max(this.#last + 1, now);
    return this.#last;
  }

  /** The latest clock that is believed at this moment: whoever claims to write later has a wrong wall clock. */
  get limit(): number {
    const limit = Math.floor((this.#wallMs() + aheadMsMax) * ticksPerMs);
    return limit >= 0 ? Math.min(limit, clockMax) : 0;
  }

  /** Something was written at that moment; null: nothing was. */
  observe(clock: number | null): void {
    if (clock !== null && clock > this.#last && clock <= this.limit) this.#last = clock;
  }
}
