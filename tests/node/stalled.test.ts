import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { heapStats } from "bun:jsc";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type MemblastError, type Node, start, type StartOptions } from "../../src/index.ts";
import { RawFollower } from "./raw.ts";
import { until } from "./until.ts";

setDefaultTimeout(30_000);

const timeoutMs = 60_000;
const cells = 2 ** 19; // 4 MiB
const stalledMax = 100;
const MiB = 2 ** 20;
const whole = [{ array: null, start: [0], shape: [cells] }];

let folder = "";
const raws: RawFollower[] = [];
/** So that none of them is taken for dead: they stand still, but speak. */
let talking: ReturnType<typeof setInterval>;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "memblast-"));
  talking = setInterval(() => {
    for (const raw of raws) raw.send({ type: "RATE", id: 1, perSecond: null });
  }, 20);
});
afterEach(() => {
  clearInterval(talking);
  for (const raw of raws.splice(0)) raw.link.abort();
  rmSync(folder, { recursive: true, force: true });
});

/** On a unix socket, of which the system buffers little. */
function serve(options: Partial<StartOptions> = {}): Promise<Node> {
  return start("s", { listen: `unix:${folder}/door`, shape: [cells], ...options });
}

/** Subscribes, and reads no more from the moment at which its first state has begun to arrive. */
async function stall(server: Node, name: string, mode: "latest" | "every" = "latest"): Promise<RawFollower> {
  const raw = await RawFollower.connect(server.addresses[0]!);
  await raw.join(name);
  raw.stopsAtData = true;
  raw.subscribe(1, { regions: whole, mode });
  raws.push(raw);
  await until(() => raw.allDataBytes > 0 || raw.isClosed, `the beginning of ${name}'s state`);
  return raw;
}

/** What buffers hold, after what nobody holds is gone. */
function liveBytes(): number {
  Bun.gc(true);
  return heapStats().extraMemorySize;
}

function quantile(values: readonly number[], q: number): number {
  return [...values].sort((a, b) => a - b)[Math.floor((values.length - 1) * q)]!;
}

/** How long `count` commits take to an honest follower, ms. */
async function latencies(server: Node, honest: Node, count: number): Promise<number[]> {
  const times: number[] = [];
  for (let i = 0; i < count; i++) {
    const begun = performance.now();
    const { promise, resolve } = Promise.withResolvers<void>();
    const off = honest.onUpdate(() => resolve());
    server.write((a) => a.set(7, Number(a.get(7)) + 1));
    await promise;
    off();
    times.push(performance.now() - begun);
  }
  return times;
}

/** Reads so many bytes a second at most, and never stands still. */
function throttle(raw: RawFollower, bytesPerSecond: number): void {
  let allowed = 0;
  const pace = setInterval(() => {
    if (raw.isClosed) return clearInterval(pace);
    allowed = Math.min(allowed + bytesPerSecond / 100, bytesPerSecond / 10);
    if (raw.receivedBytes < seen + allowed) raw.link.resume();
    else raw.link.pause();
    allowed -= raw.receivedBytes - seen;
    seen = raw.receivedBytes;
  }, 10);
  let seen = raw.receivedBytes;
}

test(
  "followers that are slow but never stand still are not ended, however much is committed, and all go on",
  async () => {
    await using server = await start("s", { listen: `unix:${folder}/door`, shape: [8 * cells] }); // 32 MiB: two of them may be kept
    const errors: MemblastError[] = [];
    server.on("error", (error) => errors.push(error));
    const slow = await Promise.all(
      Array.from({ length: 6 }, async (_, i) => {
        const raw = await (await RawFollower.connect(server.addresses[0]!)).join(`slow ${i}`);
        raw.subscribe(1, { regions: [{ array: null, start: [0], shape: [8 * cells] }] });
        raws.push(raw);
        throttle(raw, (30 + 5 * i) * MiB);
        return raw;
      }),
    );
    const live = liveBytes();
    let most = 0;
    const rounds = 2;
    for (let v = 1; slow.some((raw) => raw.allDataBytes < rounds * 32 * MiB); v++) {
      server.write((a) => a.fill(v));
      if (v % 8 === 0) most = Math.max(most, liveBytes() - live);
      await Bun.sleep(50);
      expect(errors).toEqual([]);
    }
    const updates = slow.map((raw) => (raw.allDataBytes / (32 * MiB)).toFixed(1));
    console.log(`6 slow ones: ${updates} rounds, +${(most / MiB).toFixed(0)} MiB at most`);
    expect(server.stats().door.tooSlow).toBe(0);
    expect(slow.every(({ isClosed }) => !isClosed)).toBe(true);
    expect(most).toBeLessThan(160 * MiB); // 64 of old versions, the working copy, and what is on the way to everybody
  },
  timeoutMs,
);

describe(`${stalledMax} followers that stand still`, () => {
  test(
    "cost no more than a few images, however many versions they are at; others do not feel them",
    async () => {
      await using server = await serve({ heartbeatMs: 100 });
      const errors: MemblastError[] = [];
      server.on("error", (error) => errors.push(error));
      await using honest = await start("honest", { server: server.addresses[0]!, shape: [cells] });
      await honest.ready;
      const before = await latencies(server, honest, 300);
      const live = liveBytes();
      const rss = process.memoryUsage.rss();
      let peak = 0;
      for (let i = 1; i <= stalledMax; i++) {
        await stall(server, `slow ${i}`);
        server.write((a) => a.fill(i)); // all that is under way is now of an earlier version
        peak = Math.max(peak, process.memoryUsage.rss());
      }
      const growth = (liveBytes() - live) / MiB;
      const rssGrowth = (peak - rss) / MiB;
      const { tooSlow } = server.stats().door;
      expect(tooSlow).toBeGreaterThan(stalledMax / 2);
      expect(growth).toBeLessThan(160); // 64 MiB may be kept, and there is one image here; a version for each of them would be 400
      const after = await latencies(server, honest, 300);
      const [p50, p99] = [0.5, 0.99].map(
        (q) => `${quantile(before, q).toFixed(2)} -> ${quantile(after, q).toFixed(2)} ms`,
      );
      console.log(
        `${stalledMax} stalled: +${growth.toFixed(0)} MiB (RSS at most +${rssGrowth.toFixed(0)}), ${tooSlow} sent away; others p50 ${p50}, p99 ${p99}`,
      );
      expect(quantile(after, 0.5)).toBeLessThan(3 * quantile(before, 0.5) + 1);
      await until(() => errors.length === server.stats().door.tooSlow, "an event for each");
      expect(new Set(errors.map(({ details }) => details.reason))).toEqual(new Set(["LIMIT"]));

      // those who were not sent away go on, and end with the newest
      const left = raws.filter(({ link }) => link.state === "open");
      for (const raw of left) raw.link.resume();
      await until(
        () => left.filter(({ isClosed }) => !isClosed).every((raw) => raw.allDataBytes > cells * 8),
        "the rest",
      );
      server.write((a) => a.fill(-1));
      await until(() => honest.ndarray().get(9) === -1, "the honest follower");
    },
    timeoutMs,
  );

  test(
    "of one version share what is kept, and nobody is sent away",
    async () => {
      await using server = await serve();
      for (let i = 1; i <= 20; i++) await stall(server, `slow ${i}`);
      for (let i = 1; i <= 50; i++) server.write((a) => a.fill(i));
      expect(server.stats().door.tooSlow).toBe(0);
      for (const raw of raws) raw.link.resume();
      await until(
        () => raws.every((raw) => raw.allDataBytes === 2 * cells * 8),
        "the first state and all else as one",
      );
      expect(server.stats().encodings).toBe(2);
    },
    timeoutMs,
  );

  test(
    'in the mode "every" get as much as may wait, and are told that there was more',
    async () => {
      const queueBytesMax = 64 * 1024;
      await using server = await serve({ queueBytesMax });
      let overflows = 0;
      server.on("overflow", () => overflows++);
      for (let i = 0; i < 20; i++) await stall(server, `slow ${i}`, "every");
      for (let i = 1; i <= 1000; i++) server.write((a) => a.set(i, i));
      const waiting = server.stats().links.map(({ waitingBytes }) => waitingBytes!);
      expect(Math.max(...waiting)).toBeLessThanOrEqual(queueBytesMax);
      await until(() => overflows === 20, "an event for each");
    },
    timeoutMs,
  );
});
