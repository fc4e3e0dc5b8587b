import type { Delta } from "../../src/protocol/assembly.ts";
import type { Wire } from "../../src/transport/flight.ts";
import type { Clock } from "./clock.ts";
import { type Fault, noFaults } from "./faults.ts";
import type { Random } from "./random.ts";
import { withFlippedBit } from "./spoil.ts";
import type { Trace } from "./trace.ts";

/** What can go wrong in one world, and how often. Drawn once a seed, so that some worlds are calm and some are all storm. */
export interface Odds {
  /** Links cut per second of virtual time; the same unit below. */
  readonly cut: number;
  readonly stall: number;
  readonly partition: number;
  readonly reboot: number;
  readonly restart: number;
  readonly clock: number;
  /** Of a delivery to be altered. */
  readonly flip: number;
  /** Of a delta to be spoiled on its way into memory. */
  readonly spoil: number;
  /** Of every delivery. */
  readonly delayMs: number;
  /** On top of it, drawn for each. */
  readonly jitterMs: number;
  readonly sliceBytesMax: number;
  /** That a delivery brings so little, and not everything that is there. */
  readonly slice: number;
  readonly capacityBytes: number;
  /** A write fills the whole array. Where it never does, old bytes that should have gone stay to be seen. */
  readonly fill: number;
  /** Elements of the main array. Large ones make deltas of several parts, which commits overtake. */
  readonly cells: number;
  /** What may wait for a follower that wants every commit. */
  readonly queueBytes: number;
  /** What should tell nodes of a mesh apart by chance does not, and they write at the same moments. */
  readonly areAlike: boolean;
  /** That a dial to the other side of a partition is never answered; the others are when it is over. */
  readonly lostDial: number;
  /** That a follower asks for deltas to come at a rate. */
  readonly rated: number;
}

/** Draws the same numbers whatever is allowed, so that a seed stays one world. */
export function drawOdds(random: Random, allowed: ReadonlySet<Fault>): Odds {
  const isLarge = random.chance(0.1);
  const sometimes = (fault: Fault, value: number) => {
    const drawn = random.chance(0.5) ? value * random.next() : 0;
    return allowed.has(fault) ? drawn : 0;
  };
  const sliceBytesMax = random.pick(isLarge ? [20_000, 1e6] : [1, 7, 100, 5000, 1e6]);
  // Bytes that come one by one, and late, never make a delta.
  const delays = sliceBytesMax < 10 ? [0, 0.1, 1] : sliceBytesMax < 1000 ? [0, 1, 20] : [0, 1, 20, 200];
  const delayMs = random.pick(delays);
  const jitterMs = random.pick(delays);
  const slice = random.pick([0.03, 0.3, sliceBytesMax < 10 ? 0.5 : 1]);
  const capacityBytes = random.pick(isLarge ? [1 << 14, 1 << 16, 1 << 20] : [500, 4096, 1 << 16, 1 << 20]);
  return {
    cut: sometimes("cut", 2),
    flip: sometimes("flip", 0.02),
    stall: sometimes("stall", 1),
    partition: sometimes("partition", 0.3),
    reboot: sometimes("reboot", 0.5),
    restart: sometimes("restart", 0.5),
    clock: sometimes("clock", 1),
    delayMs: allowed.has("delay") ? delayMs : 0,
    jitterMs: allowed.has("reorder") ? jitterMs : 0,
    sliceBytesMax,
    slice: allowed.has("partial") ? slice : 0,
    capacityBytes: allowed.has("stall") ? capacityBytes : 1 << 20,
    fill: random.pick([0, 0.1]),
    cells: isLarge ? 36_000 : 96,
    queueBytes: random.pick([0, 6000, 50_000, 1 << 20]),
    areAlike: random.chance(0.2) && allowed.has("clock"),
    lostDial: 0.3,
    rated: allowed.has("delay") ? 0.2 : 0,
    spoil: sometimes("spoil", 0.1),
  };
}

/** A link between two members, by their numbers, as the network treats it. */
export interface Route {
  readonly dialler: number;
  readonly listener: number;
  /** Nothing arrives any more, and nobody is told. */
  isDead: boolean;
}

/** Longer than any world. */
const foreverMs = 1e9;

/** The state of the network now: what wires ask at each delivery. */
export class Weather {
  readonly odds: Odds;
  readonly counts = noFaults();
  /** Null where nobody reads it. */
  readonly trace: Trace | null;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #partitions = new Map<ReadonlySet<number>, number>();
  readonly #frozenUntil = new Map<number, number>();
  /** The youngest bytes that have arrived at each member, and by which wire. */
  readonly #youngest = new Map<number, { leftAt: number; wire: Wire }>();
  #stalledUntil = 0;
  /** No more faults: what was broken heals. */
  isCalm = false;

  constructor(odds: Odds, clock: Clock, random: Random, trace: Trace | null = null) {
    this.odds = odds;
    this.trace = trace;
    this.#clock = clock;
    this.#random = random;
  }

  /** Of the whole network, or of one member alone. */
  stall(ms: number, member: number | null): void {
    const until = this.#clock.now + ms;
    this.trace?.note("stall", member, `stands still for ${ms} ms`);
    if (member === null) this.#stalledUntil = until;
    else this.#frozenUntil.set(member, until);
  }

  /** How long a member will stand still from now on. */
  frozenMs(member: number): number {
    return this.#leftMs(this.#frozenUntil.get(member) ?? 0);
  }

  /** Members of `side` and the others do not reach each other for a while. */
  partition(side: ReadonlySet<number>, ms: number): void {
    const names = [...side].map((index) => `n${index}`).join(" ") || "nobody";
    this.trace?.note("partition", null, `between ${names} and the others, for ${ms} ms`);
    this.#partitions.set(side, this.#clock.now + ms);
    this.#clock.schedule(ms, () => this.#partitions.delete(side));
  }

  calmDown(): void {
    this.isCalm = true;
    this.#partitions.clear();
  }

  /** For how long two members will not reach each other. */
  partedMs(a: number, b: number): number {
    let until = 0;
    for (const [side, end] of this.#partitions) if (side.has(a) !== side.has(b)) until = Math.max(until, end);
    return this.#leftMs(until);
  }

  /** What the next delivery between two members takes. */
  delayMs(): number {
    if (this.isCalm) return 0;
    const { delayMs, jitterMs } = this.odds;
    const delay = delayMs + (jitterMs > 0 ? this.#random.next() * jitterMs : 0);
    if (delay > 0) this.counts.delay++;
    return delay;
  }

  wire(route: Route, from: number, to: number): Wire {
    const random = this.#random;
    const { sliceBytesMax, slice, capacityBytes, flip } = this.odds;
    let leftAt = 0;
    const wire: Wire = {
      capacityBytes,
      delayMs: () => {
        leftAt = this.#clock.now;
        if (route.isDead) return foreverMs;
        const stalled = this.#stalledMs(from, to);
        if (stalled > 0) this.counts.stall++;
        return stalled + this.delayMs();
      },
      sliceBytes: (available) => {
        if (route.isDead || this.#stalledMs(from, to) > 0) return 0;
        this.#arrived(to, leftAt, wire);
        if (this.isCalm || (slice < 1 && !random.chance(slice))) return available;
        const bytes = 1 + random.below(Math.min(available, sliceBytesMax));
        if (bytes < available) this.counts.partial++;
        return bytes;
      },
      alter: (bytes) => {
        if (this.isCalm || flip === 0 || !random.chance(flip)) return;
        bytes[random.below(bytes.length)]! ^= 1 << random.below(8);
        this.counts.flip++;
        this.trace?.note("flip", to, `a bit of what n${from} sent`);
      },
    };
    return wire;
  }

  /** A delta as it gets into the memory of its follower. */
  spoil(delta: Delta): Delta {
    const isSpared = this.isCalm || delta.root === undefined || delta.chunks.length === 0;
    if (isSpared || this.odds.spoil === 0 || !this.#random.chance(this.odds.spoil)) return delta;
    this.counts.spoil++;
    this.trace?.note("spoil", null, "a bit of the next delta, on its way into memory");
    return withFlippedBit(delta, (n) => this.#random.below(n));
  }

  #stalledMs(from: number, to: number): number {
    if (this.isCalm) return 0;
    const own = this.#frozenUntil.size > 0 ? Math.max(this.frozenMs(from), this.frozenMs(to)) : 0;
    const parted = this.#partitions.size > 0 ? this.partedMs(from, to) : 0;
    return Math.max(own, parted, this.#leftMs(this.#stalledUntil));
  }

  /** Nothing where it is so little that adding it to the time would not change it. */
  #leftMs(until: number): number {
    const ms = until - this.#clock.now;
    return ms > 1e-3 ? ms : 0;
  }

  #arrived(to: number, leftAt: number, wire: Wire): void {
    const youngest = this.#youngest.get(to);
    if (!youngest) this.#youngest.set(to, { leftAt, wire });
    else if (leftAt >= youngest.leftAt) {
      youngest.leftAt = leftAt;
      youngest.wire = wire;
    } else if (youngest.wire !== wire) this.counts.reorder++;
  }
}
