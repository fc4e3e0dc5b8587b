import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { start, type StartOptions } from "../../src/index.ts";
import { Node } from "../../src/node/node.ts";
import { backoffMs, backoffOf, defaultBackoff } from "../../src/node/options/reconnect.ts";
import type { World } from "../../src/node/runtime/world.ts";
import { LoopbackNetwork } from "../../src/transport/loopback_network.ts";
import { Clock } from "../sim/clock.ts";
import { Random } from "../sim/random.ts";
import { virtualWorld } from "../sim/virtual_world.ts";
import { RawFollower } from "./raw.ts";
import { until } from "./until.ts";

setDefaultTimeout(30_000);

const address = "10.0.0.1:1";

/** Nodes on a fast network, in virtual time. */
class Bench {
  readonly clock = new Clock();
  readonly random = new Random(3);
  readonly network = new LoopbackNetwork({
    scheduler: this.clock,
    wires: () => ({ there: { delayMs: () => 1 }, back: { delayMs: () => 1 } }),
  });
  readonly #world: World = virtualWorld(this.clock, this.random, this.network);

  start(name: string, options: StartOptions): Promise<Node> {
    return Node.start(name, { heartbeatMs: 60_000, ...options }, this.#world);
  }

  serve(): Promise<Node> {
    return this.start("server", { listen: address, insecure: true, shape: [512], connectionsMax: 2000 });
  }

  run(ms: number): void {
    this.clock.runUntil(this.clock.now + ms);
  }

  /** As a kill of the server looks from outside: no goodbye. */
  async kill(server: Node): Promise<void> {
    for (const pair of [...this.network.pairs]) pair.cut();
    this.run(0);
    const closed = server.close();
    this.run(20);
    await closed;
  }
}

/** The largest share of these moments within any tenth of a second. */
function worstShare(moments: readonly number[]): number {
  const sorted = [...moments].sort((a, b) => a - b);
  let worst = 0;
  for (let first = 0, last = 0; last < sorted.length; last++) {
    while (sorted[last]! - sorted[first]! >= 100) first++;
    worst = Math.max(worst, last - first + 1);
  }
  return worst / sorted.length;
}

describe("a thousand followers of a server that was killed", () => {
  const count = 1000;

  test.each([0, 300, 1000, 5000])(
    "and is back after %p ms, return spread out, and share one encoding",
    async (awayMs) => {
      const bench = new Bench();
      let server = await bench.serve();
      server.write((a) => a.fill(1));
      const followers = await Promise.all(
        Array.from({ length: count }, (_, i) =>
          bench.start(`f${i}`, { server: address, shape: [512], onError() {} }),
        ),
      );
      bench.run(5000);
      for (const { version } of followers) expect(version[address]).toBe(1);
      expect(server.stats().encodings).toBe(1);

      await bench.kill(server);
      bench.run(awayMs);
      server = await bench.serve();
      server.write((a) => a.fill(2));
      const begun = bench.clock.now;
      const back: number[] = [];
      server.on("connect", () => back.push(bench.clock.now));
      bench.run(30_000);
      expect(back.length).toBe(count);
      const share = worstShare(back);
      const last = Math.max(...back) - begun;
      console.log(
        `away ${awayMs} ms: at most ${(share * 100).toFixed(1)} % in 100 ms, all back after ${last.toFixed(0)} ms`,
      );
      expect(share).toBeLessThanOrEqual(0.1);
      expect(server.stats().encodings).toBeLessThanOrEqual(4);
      for (const follower of followers) expect(follower.ndarray().get(511)).toBe(2);
      const closed = Promise.all([server, ...followers].map((node) => node.close()));
      bench.run(2000);
      await closed;
    },
    30_000,
  );
});

test("many who come at one moment share one encoding, whose memory is that of one", async () => {
  const bytes = 4 * 2 ** 20;
  await using server = await start("server", { listen: 0, shape: [bytes / 8] });
  server.write((a) => a.fill(1));
  const raws = await Promise.all(
    Array.from({ length: 120 }, async (_, i) =>
      (await RawFollower.connect(server.addresses[0]!)).join(`r${i}`),
    ),
  );
  const before = process.memoryUsage.rss();
  const one = [{ array: null, start: [0], shape: [bytes / 8] }];
  for (const raw of raws) raw.subscribe(1, { regions: one });
  await until(() => raws.every((raw) => raw.of("SUBSCRIBED").length === 1), "their subscriptions");
  let peak = 0;
  const looking = setInterval(() => (peak = Math.max(peak, process.memoryUsage.rss())), 5);
  await until(() => raws.every((raw) => raw.allDataBytes === bytes), "all first states", 60_000);
  clearInterval(looking);
  const growth = Math.max(peak - before, 0) / 2 ** 20;
  console.log(`120 first states of 4 MiB at once: RSS +${growth.toFixed(0)} MiB at both ends together`);
  expect(server.stats().encodings).toBe(1);
  expect(growth).toBeLessThan(240); // by themselves they would be 480
  for (const raw of raws) raw.link.abort();
}, 90_000);

test("waits are uniform from almost nothing to a bound that doubles", () => {
  const backoff = { minMs: 100, maxMs: 1000 };
  expect(backoffMs(backoff, 0, () => 0)).toBe(25);
  expect([0, 1, 2, 3, 4, 1000].map((failures) => backoffMs(backoff, failures, () => 1))).toEqual([
    100, 200, 400, 800, 1000, 1000,
  ]);
  expect(backoffMs({ minMs: 4, maxMs: 4 }, 5, () => 0)).toBe(2);
  expect(backoffOf()).toEqual(defaultBackoff);
  expect(backoffOf({ maxMs: 70 })).toEqual({ minMs: 70, maxMs: 70 });
  expect(backoffOf({ minMs: 5 })).toEqual({ minMs: 5, maxMs: defaultBackoff.maxMs });
  const waits = Array.from({ length: 1000 }, (_, i) => backoffMs(backoff, 3, () => i / 1000));
  expect(new Set(waits).size).toBe(1000); // nothing piles up at an end
});
