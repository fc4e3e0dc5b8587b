import { describe, expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import type { Copy } from "./copy.ts";
import { World } from "./world.ts";
import { imageBytes } from "./source.ts";

setDefaultTimeout(30_000);

// More of it: SESSION_RUNS=100000 SESSION_SEED=7 bun test tests/protocol/session.test.ts
const numRuns = Number(process.env["SESSION_RUNS"] ?? 300);
const seed = Number(process.env["SESSION_SEED"] ?? 20_260_102);

const timeoutMs = 10_000 + numRuns * 50;

const operations = [
  "commit",
  "commit",
  "commitLarge",
  "carryToFollower",
  "carryToFollower",
  "carryToPublisher",
  "carryToPublisher",
  "stream",
  "stream",
  "apply",
  "apply",
  "wait",
  "run",
  "run",
  "cut",
  "connect",
  "connect",
  "connect",
  "block",
  "unblock",
  "damage",
  "flip",
  "duplicate",
  "swap",
  "resubscribe",
  "rate",
  "restart",
  "refuseResume",
  "bye",
] as const;

type Operation = readonly [(typeof operations)[number], number];

function perform(world: World, [operation, number]: Operation): void {
  const { now } = world;
  const copy: Copy = world.copies[number % world.copies.length]!;
  const pipe = number % 2 === 0 ? world.toFollower : world.toPublisher;
  switch (operation) {
    case "commit":
      return world.commit(number % imageBytes, 1 + (number % 900), number, number % 3 === 0);
    case "commitLarge":
      return world.commit(number % 1000, imageBytes, number, false);
    case "carryToFollower":
      world.carry("follower", number % 2 === 0 ? imageBytes * 4 : 1 + (number % 50_000));
      return;
    case "carryToPublisher":
      world.carry("publisher", number % 2 === 0 ? imageBytes : 1 + (number % 200));
      return;
    case "stream":
      world.stream(number);
      return;
    case "apply":
      world.applyOne();
      return;
    case "wait":
      return world.wait(number % 7000);
    case "run":
      return world.run(number % 20);
    case "cut":
      return world.cut();
    case "connect":
      return world.connect();
    case "block":
      world.tellPublisher({ kind: "unwritable", now });
      return world.tellFollower({ kind: "unwritable", now });
    case "unblock":
      world.tellPublisher({ kind: "writable", now });
      return world.tellFollower({ kind: "writable", now });
    case "damage":
      if (!copy.verify) return;
      copy.bytes[number % copy.bytes.length]! ^= 1;
      copy.damaged = true;
      return;
    case "flip": {
      const frame = pipe.frames[number % Math.max(1, pipe.frames.length)];
      if (frame !== undefined) frame[number % frame.length]! ^= 1 << (number & 7);
      return;
    }
    case "duplicate": {
      const frame = pipe.frames.at(-1);
      if (frame !== undefined) pipe.frames.push(frame.slice());
      return;
    }
    case "swap": {
      const [a, b] = pipe.frames.splice(-2);
      pipe.frames.push(...[b, a].filter((frame) => frame !== undefined));
      return;
    }
    case "resubscribe":
      if (world.follower.phase !== "open") return;
      world.tellFollower({ kind: "unsubscribe", key: copy.key, now });
      return world.subscribe(copy);
    case "rate":
      return world.tellFollower({
        kind: "rate",
        key: copy.key,
        perSecond: number % 4 === 0 ? null : 1 + (number % 90),
        now,
      });
    case "restart":
      world.cut();
      if (number % 2 === 0) world.source.forget();
      return;
    case "refuseResume":
      world.resume = number % 2 === 0;
      return;
    case "bye":
      return world.tellPublisher({ kind: "closeRequested", reason: "restarting", now });
  }
}

function newWorld(): World {
  return new World([
    { range: { start: 100, bytes: 20_001 }, verify: true },
    { range: { start: 0, bytes: imageBytes }, verify: false },
    { range: { start: 64, bytes: imageBytes - 64 }, verify: true },
  ]);
}

/** Ends equal, at the newest version, whatever has happened. */
function finish(world: World): void {
  world.resume = true;
  world.connect();
  world.settle();
  world.commit(0, imageBytes, 1, true);
  world.settle();
  for (const { range, bytes, damaged } of world.copies) {
    const { incarnation, version } = world.source;
    expect(damaged).toBeFalse();
    expect(Buffer.compare(world.source.at(incarnation, version, range)!, bytes)).toBe(0);
  }
}

const schedule = fc.array(fc.tuple(fc.constantFrom(...operations), fc.nat()), {
  maxLength: 120,
  size: "max",
});

describe(`publisher and follower, seed ${seed}`, () => {
  test(
    `${numRuns} schedules: every state is a committed one, versions never go back, the end is the newest`,
    () => {
      const seen = new Map<string, number>();
      fc.assert(
        fc.property(schedule, (steps) => {
          const world = newWorld();
          world.connect();
          world.settle();
          for (const step of steps) perform(world, step);
          finish(world);
          for (const what of [...world.faults, ...world.reports]) seen.set(what, (seen.get(what) ?? 0) + 1);
        }),
        { numRuns, seed },
      );
      // The schedules must reach the corners they are for; a few of them may not.
      if (numRuns < 300) return;
      for (const what of [
        "us TIMEOUT",
        "us BAD_CHECKSUM",
        "us STALE_DELTA",
        "mismatch repair",
        "mended",
        "conflated",
      ]) {
        expect([what, seen.get(what) ?? 0]).not.toEqual([what, 0]);
      }
    },
    timeoutMs,
  );

  test("a publisher that forgets a run is found out", () => {
    let cause: unknown;
    try {
      fc.assert(
        fc.property(schedule, (steps) => {
          const world = newWorld();
          world.canary = true;
          world.connect();
          for (const step of steps) if (step[0] !== "restart") perform(world, step);
          finish(world);
        }),
        { numRuns: 100, seed, endOnFailure: true },
      );
    } catch (error) {
      cause = (error as Error).cause;
    }
    expect(String(cause)).toContain("not version");
  });

  test("and repaired where bytes are verified", () => {
    const world = new World([{ range: { start: 0, bytes: imageBytes }, verify: true }]);
    world.connect();
    world.settle();
    world.canary = true;
    for (let round = 1; round <= 20; round++) {
      world.commit(round * 640, 64, 7, true);
      world.commit(round * 3200, 64, 7, true);
      world.settle();
    }
    expect(world.reports.filter((report) => report === "mended").length).toBeGreaterThanOrEqual(19);
    expect(world.faults).toEqual([]);
    finish(world);
  });
});
