import { fail } from "../errors.ts";

const tagBits = 11;
/** A clock has so many ticks in a millisecond; milliseconds count from 1970, so it is good until 2109. */
const ticksPerMs = 2 ** 11;
const clockMax = 2 ** 53 - 2;
/**
 * The farthest that another's clock may be ahead of ours: beyond, its writes would win over everybody's for as long. No multiple of a
 * quarter of an hour, so that a wrong time zone is either always believed or never.
 */
export const aheadMsMax = 50 * 60_000;
/** What was believed when it was taken over may have been overwritten since, and our clock may have been set right by a little. */
const slackMs = 60_000;

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
 * A hybrid clock (Kulkarni, Demirbas et al., "Logical Physical Clocks", 2014) for each element, whose last time is its stamp: a write is
 * later than what it overwrites, however wrong the clocks are, and else as late as the wall clock says. One clock for all elements of a
 * node was rejected: a single write of a peer that is ahead would take with it everything that the node writes from then on.
 */
export class HybridClock {
  /** Tells writers apart; two of the same tag are told apart by what they wrote. */
  readonly tag: number;
  readonly #wallMs: () => number;

  /** `wallMs` are milliseconds since 1970, and may jump; of `identity` 11 bits count. */
  constructor(wallMs: () => number, identity: number) {
    this.#wallMs = wallMs;
    this.tag = identity % 2 ** tagBits;
  }

  /** @throws CLOCK_AHEAD where the wall clock shows no time that a stamp can hold */
  get now(): number {
    const wallMs = this.#wallMs();
    const now = Math.floor(wallMs * ticksPerMs);
    if (!(now >= 0 && now <= clockMax))
      fail("CLOCK_AHEAD", `This machine's clock shows ${wallMs} ms since 1970; set it before writing`, {
        wallMs,
      });
    return now;
  }

  /** The latest clock that is believed of others at this moment: whoever claims to write later has a wrong wall clock. */
  get limit(): number {
    return this.#ahead(aheadMsMax);
  }

  /** The same of what is here already: what is beyond was written when our own wall clock was far ahead. */
  get ownLimit(): number {
    return this.#ahead(aheadMsMax + slackMs);
  }

  #ahead(ms: number): number {
    const limit = Math.floor((this.#wallMs() + ms) * ticksPerMs);
    return limit >= 0 ? Math.min(limit, clockMax) : 0;
  }

  /** The clock of a write now over one of `before`. The library does the same for elements (ffi/merge.c). */
  after(before: number): number {
    const { now } = this;
    return before < now || before > this.ownLimit ? now : before + 1;
  }
}
