import { heapStats } from "bun:jsc";
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import { makeSchema } from "../../src/array/schema.ts";
import { normalise, totalBytes } from "../../src/delta/runs.ts";
import { start } from "../../src/index.ts";
import {
  Allowance,
  creditMax,
  leavesMax,
  overlapMax,
  stretchesMax,
} from "../../src/node/publishing/allowance.ts";
import { ProtocolFault } from "../../src/protocol/fault.ts";
import { seed } from "../transport/random.ts";
import { RawFollower } from "./raw.ts";
import { until } from "./until.ts";

setDefaultTimeout(30_000);

const schema = makeSchema([{ name: null, dtype: "f64", shape: [2000, 1000] }], 64);

function isRefused(action: () => void): boolean {
  try {
    action();
  } catch (error) {
    if (!(error instanceof ProtocolFault) || error.code !== "LIMIT") throw error;
    return true;
  }
  return false;
}

describe("what one link may ask for", () => {
  const size = 48;
  const runs = fc
    .array(fc.tuple(fc.nat(size - 1), fc.integer({ min: 1, max: 12 })), { minLength: 1, maxLength: 5 })
    .map((pairs) => normalise(pairs.flatMap(([at, length]) => [at, Math.min(length, size - at)])));
  const action = fc.oneof(
    fc.record({ kind: fc.constant("add" as const), runs }),
    fc.record({ kind: fc.constant("delete" as const), which: fc.nat(30) }),
  );

  test(`no byte is covered more than ${overlapMax} times, and nothing less is refused (seed ${seed})`, () => {
    fc.assert(
      fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
        const allowance = new Allowance(schema, () => 0);
        const held = new Map<number, Float64Array>();
        const depth = new Uint8Array(size);
        const cover = (pairs: Float64Array, by: number) => {
          for (let i = 0; i < pairs.length; i += 2)
            for (let k = 0; k < pairs[i + 1]!; k++) depth[pairs[i]! + k]! += by;
        };
        for (const [id, each] of actions.entries()) {
          if (each.kind === "delete") {
            const key = [...held.keys()][each.which] ?? -1;
            allowance.delete(key);
            cover(held.get(key) ?? new Float64Array(0), -1);
            held.delete(key);
            continue;
          }
          cover(each.runs, 1);
          const isTooMuch = depth.some((count) => count > overlapMax);
          expect(isRefused(() => allowance.check(each.runs))).toBe(isTooMuch);
          if (isTooMuch) {
            cover(each.runs, -1);
            continue;
          }
          allowance.add(id, each.runs);
          held.set(id, each.runs);
        }
        const union = depth.filter((count) => count > 0).length;
        const all = [...held.values()].reduce((sum, each) => sum + totalBytes(each as never), 0);
        expect(all).toBeLessThanOrEqual(overlapMax * union);
        expect(allowance.stretches).toBe([...held.values()].reduce((sum, each) => sum + each.length / 2, 0));
      }),
      { seed, numRuns: 500 },
    );
  });

  test("work comes out of a purse that fills up again", () => {
    let now = 0;
    const allowance = new Allowance(schema, () => now);
    const columns = Array.from({ length: 50 }, (_, i) => ({
      array: null,
      start: [0, 2 * i],
      shape: [2000, 1],
    }));
    let paid = 0;
    while (!isRefused(() => allowance.pay(columns))) paid++;
    expect(paid).toBe(Math.floor(creditMax / (50 * 2000 + 50)));
    expect(isRefused(() => allowance.pay(columns))).toBe(true);
    now += 1000;
    expect(isRefused(() => allowance.pay(columns))).toBe(false);
  });

  test("what is small is not charged for what is large beside it", () => {
    const allowance = new Allowance(schema, () => 0);
    const large = new Float64Array(stretchesMax);
    for (let i = 0; i < large.length; i += 2) large.set([i * 8, 8], i);
    allowance.add(1, large);
    for (let id = 2; id <= 4; id++) allowance.add(id, Float64Array.of(stretchesMax * 8 + id * 8, 8));
    for (let i = 1; i <= 1000; i++) {
      allowance.pay([{ array: null, start: [0, 0], shape: [1, 1] }]);
      allowance.check(Float64Array.of(i * 16, 8));
    }
    const each = 1 + 1 + 4 + 1 / 4; // a region, a stretch, four looks, one in common
    expect(creditMax - allowance.credit).toBe(1000 * each);
  });

  test("what is large costs what it has in common with others, be it one stretch itself", () => {
    let now = 0;
    const allowance = new Allowance(schema, () => now);
    const large = new Float64Array(stretchesMax);
    for (let i = 0; i < large.length; i += 2) large.set([i * 8, 8], i);
    for (let id = 1; id <= 4; id++) allowance.add(id, id === 1 ? large : Float64Array.of(id * 8, 1));
    const ask = () => {
      allowance.pay([{ array: null, start: [0, 0], shape: [2000, 1000] }]);
      allowance.check(Float64Array.of(0, stretchesMax * 8));
    };
    let asked = 0;
    while (asked < 50 && !isRefused(ask)) asked++;
    expect(asked).toBeWithin(2, (8 * creditMax) / large.length + 2);
    expect(isRefused(ask)).toBe(true);
    now += 1000;
    expect(isRefused(ask)).toBe(false);
  });

  test("what is held is not looked at where it is too little to be too much", () => {
    const allowance = new Allowance(schema, () => 0);
    let looks = 0;
    const watched = new Proxy(Float64Array.of(0, 8), {
      get: (runs, key) => (looks++, Reflect.get(runs, key)),
    });
    const looksAtNext = () => {
      looks = 0;
      allowance.check(Float64Array.of(0, 8));
      return looks;
    };
    for (let id = 1; id < overlapMax; id++) {
      allowance.add(id, watched);
      expect(looksAtNext()).toBe(0);
    }
    allowance.add(overlapMax, Float64Array.of(8, 8));
    expect(looksAtNext()).toBeGreaterThan(0);
  });

  test("trees are hashed for it from a credit of their own, and even a huge one at once", () => {
    let now = 0;
    const allowance = new Allowance(schema, () => now);
    const box = { array: null, start: [0, 0], shape: [1, 1] };
    const follow = (id: number, leaves: number) => {
      allowance.pay([box]);
      allowance.payLeaves(leaves);
      allowance.add(id, Float64Array.of(64 * id, 8));
    };
    follow(1, 3 * leavesMax);
    expect(isRefused(() => follow(2, 1))).toBe(true);
    for (let i = 0; i < 100; i++) allowance.payAgain(1); // what needs no tree goes on
    for (; isRefused(() => follow(2, 1)); now += 1000) expect(now).toBeLessThan(17_000);
    expect(now).toBe(8000); // before a follower gives up asking
    now += 1000;
    follow(3, 3 * leavesMax);
    expect(isRefused(() => follow(4, 1))).toBe(true);
    allowance.giveBack(3); // it was too slow: that hashes nothing for nothing
    expect(isRefused(() => follow(4, 1))).toBe(true);
  });

  test("all subscriptions together have a limited number of stretches", () => {
    const allowance = new Allowance(schema, () => 0);
    const half = new Float64Array(stretchesMax + 2);
    for (let i = 0; i < half.length; i += 2) half.set([i * 16, 8], i);
    allowance.add(1, half);
    const box = { array: null, start: [0, 0], shape: [2000, 1] };
    const regions = Array.from({ length: 300 }, (_, i) => ({ ...box, start: [0, 3 * i] }));
    expect(isRefused(() => allowance.pay(regions))).toBe(true);
    expect(isRefused(() => allowance.pay([box]))).toBe(false);
  });

  test("a small one costs no more beside a large one, neither when it begins nor when it ends", () => {
    const msBeside = (stretches: number) => {
      const allowance = new Allowance(schema, () => 0);
      const large = new Float64Array(2 * stretches);
      for (let i = 0; i < large.length; i += 2) large.set([1024 + i * 8, 8], i);
      allowance.add(0, large);
      const begun = performance.now();
      for (let id = 1; id <= 200; id++) {
        const small = Float64Array.of(id * 8, 1);
        allowance.check(small);
        allowance.add(id, small);
      }
      for (let id = 1; id <= 200; id++) allowance.delete(id);
      return performance.now() - begun;
    };
    const best = (stretches: number) => Math.min(...Array.from({ length: 3 }, () => msBeside(stretches)));
    const few = best(16);
    expect(best(2 ** 16) / few).toBeLessThan(20);
  });

  test("what no link is ever given is not to be waited for", () => {
    const columns = Array.from({ length: stretchesMax / 2000 + 1 }, (_, i) => ({
      array: null,
      start: [0, i],
      shape: [2000, 1],
    }));
    const allowance = new Allowance(schema, () => 0);
    expect(() => allowance.pay(columns)).toThrow(expect.objectContaining({ code: "UNSUPPORTED" }));
  });
});

test("subscriptions that this side ends are paid back, and can be had again however often", async () => {
  const [rows, columns] = [2000, 100];
  await using server = await start("s", { listen: 0, shape: [rows, columns], queueBytesMax: 0 });
  using raw = await RawFollower.connect(server.addresses[0]!);
  await raw.join("every");
  const regions = Array.from({ length: columns / 2 }, (_, i) => ({
    array: null,
    start: [0, 2 * i],
    shape: [rows, 1],
  }));
  const rounds = Math.ceil((2 * creditMax) / (rows * regions.length));
  for (let id = 1; id <= rounds; id++) {
    const { incarnation, version } = server.stats();
    const have = { incarnation, version };
    raw.subscribe(id, { regions, mode: "every", maxRate: 0.001, have: id > 1 ? have : null });
    await raw.seen("SUBSCRIBED", id);
    if (id === 1) await until(() => raw.allDataBytes > 0, "the first state");
    server.write((a) => a.set(0, 0, id)); // has to wait, and may not
    await raw.seen("ERROR", id);
  }
  expect(new Set(raw.of("ERROR").map(({ text }) => text)).size).toBe(1);
  expect(server.stats().links[0]!.overflows).toBe(rounds);
});

test("what followers of the same regions hold is held once", async () => {
  const rows = 2 ** 18;
  await using server = await start("s", { listen: 0, shape: [rows, 2], dtype: "u8" });
  const raws: RawFollower[] = [];
  const follow = async () => {
    const raw = await (await RawFollower.connect(server.addresses[0]!)).join(`${raws.length}`);
    raws.push(raw);
    raw.subscribe(1, { regions: [{ array: null, start: [0, 1], shape: [rows, 1] }] });
    await until(() => raw.allDataBytes === rows, "the first state");
  };
  const liveBytes = () => {
    Bun.gc(true);
    return heapStats().extraMemorySize;
  };
  for (let i = 0; i < 2; i++) await follow();
  const before = liveBytes();
  for (let i = 0; i < 10; i++) await follow();
  expect(liveBytes() - before).toBeLessThan(2 * 16 * rows); // and not ten times the runs
  for (const raw of raws) raw.link.abort();
});

describe("10,000 overlapping subscriptions of one client", () => {
  const rows = 512;
  const columns = 512;

  function ask(raw: RawFollower, first: number, last: number): void {
    for (let id = first; id <= last; id++)
      raw.subscribe(id, { regions: [{ array: null, start: [id % 8, 0], shape: [rows - 8, columns] }] });
  }

  const timeoutMs = 60_000;

  test(
    "bring no byte more often than a few, and cost little",
    async () => {
      await using server = await start("s", { listen: 0, shape: [rows, columns] });
      server.write((a) => a.fill(1));
      await using honest = await start("honest", { server: server.addresses[0]!, shape: [rows, columns] });
      await honest.ready;
      const before = process.memoryUsage.rss();
      const used = process.cpuUsage();
      using raw = await RawFollower.connect(server.addresses[0]!);
      await raw.join("greedy");
      for (let id = 1; id <= 10_000; id += 500) {
        ask(raw, id, id + 499);
        await raw.seen("ERROR", id + 499 - overlapMax);
      }
      const { user, system } = process.cpuUsage(used);
      expect(new Set(raw.of("ERROR").map(({ code }) => code))).toEqual(new Set(["LIMIT"]));
      expect(raw.of("SUBSCRIBED").length).toBe(overlapMax);
      const image = rows * columns * 8;
      await until(() => raw.dataBytes.size === overlapMax, "the first states");
      expect(raw.allDataBytes).toBeLessThanOrEqual(overlapMax * image);

      const states = raw.allDataBytes;
      server.write((a) => a.set(100, 100, 2));
      await until(() => honest.ndarray().get(100, 100) === 2, "the honest follower");
      await until(() => raw.allDataBytes > states, "the commit");
      await Bun.sleep(20);
      expect(raw.allDataBytes - states).toBeLessThanOrEqual(overlapMax * 64);
      expect(server.stats().encodings).toBeLessThan(4 * overlapMax);
      const rss = (process.memoryUsage.rss() - before) / 2 ** 20;
      console.log(
        `10,000 subscriptions: ${((user + system) / 1e3).toFixed(0)} ms of CPU at both ends, RSS +${rss.toFixed(0)} MiB`,
      );
    },
    timeoutMs,
  );

  test(
    "asked for in one breath end the link",
    async () => {
      await using server = await start("s", { listen: 0, shape: [rows, columns] });
      const reasons: unknown[] = [];
      server.on("error", ({ details }) => void reasons.push(details["reason"]));
      using raw = await RawFollower.connect(server.addresses[0]!);
      await raw.join("greedy");
      ask(raw, 1, 10_000);
      await until(() => raw.isClosed, "the end of the link"); // perhaps by a reset, with the last word lost
      await until(() => server.stats().links.length === 0, "its end on this side");
      expect(reasons).toEqual(["LIMIT"]);
    },
    timeoutMs,
  );

  test(
    "made and ended again and again are slowed down, and forgotten",
    async () => {
      await using server = await start("s", { listen: 0, shape: [rows, columns] });
      using raw = await RawFollower.connect(server.addresses[0]!);
      await raw.join("restless");
      const thin = Array.from({ length: 250 }, (_, i) => ({
        array: null,
        start: [0, 2 * i],
        shape: [rows, 1],
      }));
      for (let id = 1; id <= 100; id++) {
        raw.subscribe(id, { regions: thin });
        raw.send({ type: "UNSUBSCRIBE", id });
      }
      await until(() => raw.of("SUBSCRIBED").length + raw.of("ERROR").length === 100, "all answers");
      expect(raw.of("ERROR").length).toBeGreaterThan(60);
      expect(server.stats().links[0]!.connected).toBe(true);
      const served = raw.of("SUBSCRIBED").length;
      raw.subscribe(101, { regions: [{ array: null, start: [0, 0], shape: [1, 1] }] });
      await raw.seen("SUBSCRIBED", served + 1);
    },
    timeoutMs,
  );
});
