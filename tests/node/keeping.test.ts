import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { heapStats } from "bun:jsc";
import type { Runs } from "../../src/delta/runs.ts";
import { type Encoding, newReading, type Reading } from "../../src/node/publishing/encoding.ts";
import { type Feed, Feeds } from "../../src/node/publishing/feed.ts";
import type { KeepingLimits } from "../../src/node/publishing/keeping.ts";
import { Waiting } from "../../src/node/publishing/waiting.ts";
import { realWorld, type World } from "../../src/node/runtime/world.ts";
import { Clock } from "../sim/clock.ts";
import { Memory } from "./memory.ts";

setDefaultTimeout(30_000);

const MiB = 2 ** 20;
const patienceMs = 1000;
const whole = { verify: false, mode: "latest" } as const;

/** Followers of a whole image that take parts when they are told to. */
class Bench {
  readonly clock = new Clock();
  readonly memory: Memory;
  readonly feeds: Feeds;
  readonly feed: Feed;
  readonly ended: string[] = [];

  constructor(bytes: number, limits: Partial<KeepingLimits> = {}) {
    const world: World = {
      ...realWorld,
      now: () => this.clock.now,
      after: (ms, action) => this.clock.schedule(ms, action),
      soon: (action) => void this.clock.schedule(0, action),
    };
    this.memory = new Memory(bytes);
    this.feeds = new Feeds(this.memory, world, { patienceMs, ...limits });
    const runs = this.feeds.runsOf([{ array: null, start: [0], shape: [bytes] }], null);
    this.feed = this.feeds.take(runs, whole);
  }

  get keeping() {
    return this.feeds.keeping;
  }

  run(ms = 0): void {
    this.clock.runUntil(this.clock.now + ms);
  }

  begin(reading: Reading): Reading {
    this.feeds.read(reading);
    this.feeds.begin(reading);
    return reading;
  }

  /** Asks for everything; it begins when there is room. */
  follow(name: string): Slow {
    const slow = new Slow(this, name);
    if (!slow.tryBegin()) slow.cancel = this.keeping.wait(slow, () => slow.tryBegin());
    return slow;
  }

  /** One after the other, each at a version of its own. */
  crowd(count: number): Slow[] {
    return Array.from({ length: count }, (_, i) => {
      const slow = this.follow(`${i}`);
      this.memory.write();
      this.run(1);
      return slow;
    });
  }
}

class Slow {
  reading: Reading | null = null;
  cancel = () => {};

  constructor(
    readonly bench: Bench,
    readonly name: string,
  ) {}

  tryBegin(): boolean {
    const encoding = this.bench.feed.delta(0, true) as Encoding;
    if (!this.bench.keeping.hasRoomFor(encoding)) return false;
    this.reading = this.bench.begin(newReading(this, 1, encoding));
    return true;
  }

  /** The versions of the parts that it takes. */
  take(parts: number): Set<number> {
    const versions = new Set<number>();
    for (; parts > 0; parts--) {
      const { encoding, next } = this.reading!;
      const data = encoding.part(next).tail.toSorted((a, b) => b.byteLength - a.byteLength)[0]!;
      versions.add(data[0]!).add(data.at(-1)!);
      this.bench.feeds.moved(this.reading!);
      if (this.reading!.next === encoding.partCount) return (this.finish(), versions);
    }
    return versions;
  }

  finish(): void {
    if (this.reading) this.bench.feeds.finish(this.reading);
    this.reading = null;
  }

  tooSlow(): void {
    this.bench.ended.push(this.name);
    this.finish();
  }

  failed(error: unknown): void {
    throw error;
  }
}

/** What buffers hold, after what nobody holds is gone. */
function liveBytes(): number {
  Bun.gc(true);
  return heapStats().extraMemorySize;
}

describe("what is kept for those in the middle of a delta", () => {
  const bytes = 4 * MiB;
  const bytesMax = 16 * MiB;

  /** As many as there is room for, each at a version of its own, and one more who waits. */
  function full() {
    const bench = new Bench(bytes, { bytesMax });
    const crowd = bench.crowd(4);
    const late = bench.follow("late");
    expect(crowd.every(({ reading }) => reading !== null)).toBe(true);
    expect(late.reading).toBeNull();
    expect(bench.keeping.heldBytes).toBe(bytesMax);
    return { bench, crowd, late };
  }

  test("is looked at by a timer only while somebody waits: the process of a closed node may end", () => {
    const { bench, late } = full();
    bench.run(patienceMs / 4); // the timer of all who came so far
    late.cancel();
    const { schedule } = bench.clock;
    const pending = new Set<object>();
    bench.clock.schedule = (ms, run) => {
      const cancel = schedule.call(bench.clock, ms, run);
      pending.add(cancel);
      return () => (pending.delete(cancel), cancel());
    };
    const next = bench.follow("next");
    expect([next.reading, pending.size]).toEqual([null, 1]);
    next.cancel();
    expect(pending.size).toBe(0);
  });

  test("is let go of part by part; who moves is not ended, and who comes meanwhile waits for the newest", () => {
    const { bench, crowd, late } = full();
    let rounds = 0;
    for (; late.reading === null; rounds++) {
      const before = bench.keeping.heldBytes;
      for (const [i, slow] of crowd.entries()) {
        const { to } = slow.reading!.encoding;
        expect(slow.take(i + 2)).toEqual(new Set([to]));
      }
      expect(before - bench.keeping.heldBytes).toBeWithin(14 * 65_000, 14 * 65_536);
      bench.memory.write();
      expect(bench.keeping.heldBytes).toBeLessThanOrEqual(bytesMax);
      bench.run(10);
    }
    expect(rounds).toBeWithin(3, 8); // 14 parts a round, and 64 to make room
    expect(late.reading.encoding.to).toBe(bench.memory.version);
    expect(bench.ended).toEqual([]);
    for (const slow of [...crowd, late]) slow.take(100);
    expect(bench.keeping.heldBytes).toBe(0);
  });

  test("is memory that others can have", () => {
    const { crowd } = full();
    const before = liveBytes();
    for (const slow of crowd) slow.take(60);
    expect(before - liveBytes()).toBeGreaterThan(14 * MiB);
    expect(crowd.every(({ reading }) => reading !== null)).toBe(true);
  });

  test("is taken from the one that has stood still for the longest time, and from no more than needed", () => {
    const { bench, crowd, late } = full();
    bench.run(patienceMs * 0.9);
    expect(bench.ended).toEqual([]);
    crowd[0]!.take(1);
    bench.run(patienceMs * 0.5);
    expect(bench.ended).toEqual(["1"]);
    expect(late.reading).not.toBeNull();
  });

  test("at a commit, too", () => {
    const { bench, crowd, late } = full();
    late.cancel();
    bench.run(5 * patienceMs);
    crowd[0]!.take(1);
    const small = bench.feeds.take(Float64Array.of(0, bytesMax / 64) as Runs, whole);
    const reading = newReading(new Slow(bench, "small"), 1, small.delta(0, true)!);
    bench.begin(reading);
    bench.memory.write();
    expect(bench.ended).toEqual(["1"]);
    expect(bench.keeping.heldBytes).toBeLessThanOrEqual(bytesMax);
  });

  test("is bounded also where nobody could foresee it: those go that have not moved for the longest time", () => {
    const bench = new Bench(bytes, { bytesMax });
    const crowd = Array.from({ length: 12 }, (_, i) => {
      const slow = bench.follow(`${i}`);
      bench.memory.write(bytes - 64, 64);
      bench.run(1);
      return slow;
    });
    expect(crowd.every(({ reading }) => reading !== null)).toBe(true);
    expect(bench.keeping.heldBytes).toBeLessThan(MiB);
    crowd[0]!.take(2);
    bench.memory.write();
    expect(bench.ended).toEqual(["1", "2", "3", "4"]);
    expect(bench.keeping.heldBytes).toBeLessThanOrEqual(2 * bytesMax);
  });

  test("does not stay with one that takes a little now and then while others wait", () => {
    const { bench, crowd, late } = full();
    for (let ms = 100; late.reading === null; ms += 100) {
      for (const [i, slow] of crowd.entries()) if (ms % (i === 2 ? 900 : 500) === 0) slow.take(1);
      bench.run(100);
      expect(ms).toBeLessThan(4 * patienceMs);
      if (ms < 3 * patienceMs) expect(bench.ended).toEqual([]);
    }
    expect(bench.ended).toEqual(["2"]);
  });

  test("is no reason for small deltas to wait, nor for one that was called off to begin", () => {
    const { bench, crowd, late } = full();
    const feed = bench.feeds.take(Float64Array.of(0, 65_536) as Runs, whole);
    expect(bench.keeping.hasRoomFor(feed.delta(0, true)!)).toBe(true);
    late.cancel();
    for (const slow of crowd) slow.finish();
    bench.run(10);
    expect(late.reading).toBeNull();
    expect(bench.keeping.waiting).toBe(0);
  });

  test("is gone with the last who takes it, once there is a newer version", async () => {
    const count = 48;
    const bench = new Bench((count + 1) * MiB);
    const before = liveBytes();
    const begin = (i: number) => {
      const feed = bench.feeds.take(Float64Array.of(i * MiB, MiB) as Runs, whole);
      const reading = newReading(new Slow(bench, `${i}`), 1, feed.delta(0, true)!);
      bench.begin(reading);
      for (; reading.next < reading.encoding.partCount - 1; bench.feeds.moved(reading))
        reading.encoding.part(reading.next);
      return reading;
    };
    const readings = Array.from({ length: count }, (_, i) => begin(i));
    expect(liveBytes() - before).toBeGreaterThan((count / 2) * MiB);
    bench.memory.write(count * MiB, 64); // nothing of what they take
    while (readings.length > 0) bench.feeds.finish(readings.pop()!);
    await Bun.sleep(0);
    expect(liveBytes() - before).toBeLessThan(8 * MiB);
  });

  test("is looked at by a commit only while the commit may change something of it, and never if it only waits", () => {
    const bench = new Bench(bytes, { bytesMax });
    let looks = 0;
    const counted = (reading: Reading) => {
      const { encoding } = reading;
      const { freeze } = encoding;
      encoding.freeze = (changing) => (looks++, freeze.call(encoding, changing));
      return reading;
    };
    const waiting = Array.from({ length: 100 }, (_, i) => {
      bench.memory.write(64 * i, 64);
      const reading = counted(newReading(new Slow(bench, `${i}`), 1, bench.feed.delta(i + 1, false)!));
      bench.feeds.read(reading);
      bench.feeds.putBy(reading);
      return reading;
    });
    const looksAt = (offset: number, length: number) => {
      looks = 0;
      bench.memory.write(offset, length);
      return looks;
    };
    expect(looksAt(0, bytes)).toBe(0);
    const taken = counted(bench.begin(newReading(new Slow(bench, "taken"), 1, bench.feed.delta(0, true)!)));
    expect(looksAt(0, 64)).toBe(1);
    expect(looksAt(0, bytes)).toBe(1);
    expect(looksAt(0, bytes)).toBe(0);
    expect(bench.keeping.heldBytes).toBe(bytes);
    for (const reading of [...waiting, taken]) {
      bench.feeds.finish(reading);
      expect(reading.encoding.heldBytes).toBe(0);
    }
    expect(bench.keeping.heldBytes).toBe(0);
  });

  describe("is also the runs of deltas of many small stretches", () => {
    const count = 65_536; // 1 MiB of runs
    const column = Float64Array.from({ length: 2 * count }, (_, i) => (i % 2 ? 1 : 32 * i)) as Runs;

    function crowded() {
      const bench = new Bench(bytes, { bytesMax });
      const feed = bench.feeds.take(column, whole);
      for (let i = 0; i < 100; i++) bench.memory.write();
      return { bench, delta: (from: number) => feed.delta(from, false)! };
    }

    test("which are to fit, unless they are shared", () => {
      const { bench, delta } = crowded();
      let begun = 0;
      for (; bench.keeping.hasRoomFor(delta(begun + 1)); begun++)
        bench.begin(newReading(new Slow(bench, "column"), 1, delta(begun + 1)));
      expect(begun).toBeWithin(8, 17);
      expect(bench.keeping.heldBytes).toBe(begun * column.byteLength);
      for (let i = 0; i < 50; i++) {
        expect(bench.keeping.hasRoomFor(delta(1))).toBe(true);
        bench.begin(newReading(new Slow(bench, "shared"), 1, delta(1)));
      }
    });

    test("and nobody holds who only waits for room", () => {
      const { bench, delta } = crowded();
      bench.keeping.hasRoomFor = () => false;
      const before = liveBytes();
      const waiting = Array.from({ length: 64 }, (_, i) => {
        const each = new Waiting(bench.keeping, new Slow(bench, `${i}`), () => bench.memory.version);
        each.await(
          1,
          () => delta(i + 1),
          () => {},
        );
        return each;
      });
      expect(bench.keeping.waiting).toBe(64);
      expect(liveBytes() - before).toBeLessThan(24 * MiB);
      for (const each of waiting) each.callOff(1);
      expect(bench.keeping.waiting).toBe(0);
    });
  });
});
