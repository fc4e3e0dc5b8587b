import type { Wire } from "../../src/transport/flight.ts";
import type { Clock } from "./clock.ts";
import type { Random } from "./random.ts";

/** What can go wrong in one world, and how often. Drawn once a seed, so that some worlds are calm and some are all storm. */
export interface Odds {
  /** A link is cut, per second of virtual time. */
  readonly cut: number;
  readonly flip: number;
  readonly stall: number;
  readonly partition: number;
  readonly restart: number;
  readonly clockJump: number;
  readonly delayMsMax: number;
  readonly sliceBytesMax: number;
  readonly capacityBytes: number;
  /** A write fills the whole array. Where it never does, old bytes that should have gone stay to be seen. */
  readonly fill: number;
  /** Elements of the main array. Large ones make deltas of several parts, which commits overtake. */
  readonly cells: number;
  /** What may wait for a follower that wants every commit. */
  readonly queueBytes: number;
}

export function drawOdds(random: Random): Odds {
  const isLarge = random.chance(0.1);
  const sometimes = (value: number) => (random.chance(0.5) ? value * random.next() : 0);
  return {
    cut: sometimes(2),
    flip: sometimes(0.02),
    stall: sometimes(1),
    partition: sometimes(0.3),
    restart: sometimes(0.5),
    clockJump: sometimes(0.3),
    delayMsMax: random.pick([0, 1, 20, 200]),
    sliceBytesMax: random.pick(isLarge ? [20_000, 1e6] : [1, 7, 100, 5000, 1e6]),
    capacityBytes: random.pick(isLarge ? [1 << 14, 1 << 16, 1 << 20] : [500, 4096, 1 << 16, 1 << 20]),
    fill: random.pick([0, 0.1]),
    cells: isLarge ? 30_000 : 96,
    queueBytes: random.pick([0, 2000, 50_000, 1 << 20]),
  };
}

/** The state of the network now: what wires ask at each delivery. */
export class Weather {
  readonly odds: Odds;
  readonly #clock: Clock;
  readonly #random: Random;
  #stalledUntil = 0;
  flips = 0;
  /** No more faults: what was broken heals. */
  isCalm = false;

  constructor(odds: Odds, clock: Clock, random: Random) {
    this.odds = odds;
    this.#clock = clock;
    this.#random = random;
  }

  stall(ms: number): void {
    this.#stalledUntil = this.#clock.now + ms;
  }

  wire(): Wire {
    const { delayMsMax, sliceBytesMax, capacityBytes, flip } = this.odds;
    const random = this.#random;
    return {
      capacityBytes,
      delayMs: () => (this.isCalm ? 0 : random.next() * delayMsMax),
      sliceBytes: (available) => {
        if (this.isCalm) return available;
        if (this.#clock.now < this.#stalledUntil) return delayMsMax === 0 ? available : 0;
        return 1 + random.below(Math.min(available, sliceBytesMax));
      },
      alter: (bytes) => {
        if (this.isCalm || !random.chance(flip)) return;
        bytes[random.below(bytes.length)]! ^= 1 << random.below(8);
        this.flips++;
      },
    };
  }
}
