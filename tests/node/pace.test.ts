import { describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Conflation, Overflow } from "../../src/node/runtime/events.ts";
import { type MemblastError, type Node, start, type StartOptions } from "../../src/index.ts";
import type { World } from "../../src/node/runtime/world.ts";
import { Node as NodeWithWorld } from "../../src/node/node.ts";
import { LoopbackNetwork } from "../../src/transport/loopback_network.ts";
import { Clock } from "../sim/clock.ts";
import { Random } from "../sim/random.ts";
import { virtualWorld } from "../sim/virtual_world.ts";
import { codeOf, until } from "./until.ts";

setDefaultTimeout(30_000);

const fast = { reconnect: { minMs: 5, maxMs: 50 } };

/** Every state that a follower sees: the versions of its source, and what stands in the first cell. */
function watch(node: Node): { versions: number[]; cells: number[]; conflations: Conflation[] } {
  const seen = { versions: [] as number[], cells: [] as number[], conflations: [] as Conflation[] };
  node.onUpdate(({ sourceVersion }) => {
    seen.versions.push(sourceVersion);
    seen.cells.push(Number(node.ndarray().get(0)));
  });
  node.on("conflated", (event) => seen.conflations.push(event));
  return seen;
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}

/** Nodes on wires whose far end can be made to stop reading. */
class Bench {
  readonly clock = new Clock();
  readonly random = new Random(11);
  isStalled = false;
  delayMs = 1;
  readonly network: LoopbackNetwork;

  constructor(capacityBytes = 4096) {
    const wire = () => ({
      capacityBytes,
      delayMs: () => this.delayMs,
      sliceBytes: (available: number) => (this.isStalled ? 0 : available),
    });
    this.network = new LoopbackNetwork({
      scheduler: this.clock,
      wires: () => ({ there: wire(), back: wire() }),
    });
  }

  start(name: string, options: StartOptions): Node {
    const world: World = virtualWorld(this.clock, this.random, this.network);
    let node: Node | null = null;
    void NodeWithWorld.start(name, options, world).then((started) => (node = started));
    this.run(10);
    return node!;
  }

  run(ms: number): void {
    this.clock.runUntil(this.clock.now + ms);
  }
}

describe("every", () => {
  test("each commit arrives by itself and in order, at many followers, from one encoding", async () => {
    await using server = await start("s", { listen: 0, shape: [100] });
    const followers = await Promise.all(
      range(0, 4).map((i) =>
        start(`f${i}`, { server: server.addresses[0]!, shape: [100], mode: "every", checkHash: i > 2 }),
      ),
    );
    await using latest = await start("latest", { server: server.addresses[0]!, shape: [100] });
    const seen = followers.map(watch);
    const merged = watch(latest);
    await Promise.all([...followers, latest].map((node) => node.ready));
    const encoded = server.stats().encodings;
    for (let i = 1; i <= 200; i++)
      server.write((a, tx) => {
        a.set(0, i);
        a.set(i % 100, i);
        tx.meta = { i };
      });
    for (const [i, node] of followers.entries()) {
      await until(() => seen[i]!.versions.length >= 200, `follower ${i}`);
      expect(seen[i]!.versions.filter((version) => version > 0)).toEqual(range(1, 200));
      expect(seen[i]!.cells.slice(-200)).toEqual(range(1, 200));
      expect(seen[i]!.conflations).toEqual([]);
      expect(node.meta).toEqual({ i: 200 });
      expect(node.ndarray().equals(server.ndarray())).toBe(true);
    }
    await until(() => merged.versions.at(-1) === 200, "the follower of the newest");
    expect(merged.versions.length).toBeLessThan(10);
    // once for those who verify, once for those who do not, and a few for the one who takes the newest
    expect(server.stats().encodings - encoded).toBeLessThan(2 * 200 + 10);
    for (const node of followers) await node.close();
  });

  test("an overflow is told at both ends; then one delta for what was missed, and each commit again", () => {
    const bench = new Bench();
    const server = bench.start("s", {
      listen: "10.0.0.1:1",
      insecure: true,
      shape: [4000],
      queueBytesMax: 100_000,
      heartbeatMs: 60_000,
    });
    const node = bench.start("f", {
      server: "10.0.0.1:1",
      shape: [4000],
      mode: "every",
      heartbeatMs: 60_000,
    });
    const seen = watch(node);
    const overflows: Overflow[] = [];
    server.on("overflow", (event) => overflows.push(event));
    bench.run(1000);
    let version = 0;
    const commit = (count: number) => {
      for (let i = 0; i < count; i++) server.write((a) => a.fill(++version));
    };
    commit(2);
    bench.run(1000);
    bench.isStalled = true;
    let most = 0;
    for (let i = 0; i < 100; i++) {
      commit(1);
      bench.run(1);
      most = Math.max(most, server.stats().links[0]!.waitingBytes!);
    }
    expect(most).toBeGreaterThan(30_000);
    expect(most).toBeLessThanOrEqual(100_000);
    expect(overflows).toMatchObject([{ peer: "f" }]);
    expect(overflows[0]!.bytes).toBeGreaterThan(100_000);
    expect(server.stats().links[0]).toMatchObject({ overflows: 1, waitingBytes: 0 });
    bench.isStalled = false;
    bench.run(1000);
    expect(seen.conflations).toMatchObject([{ version: 102, cause: "overflow" }]);
    const { from } = seen.conflations[0]!;
    expect(seen.versions.filter((each) => each > 0)).toEqual([...range(1, from), 102]);
    expect(node.stats().links[0]).toMatchObject({ overflows: 1 });
    for (let i = 0; i < 20; i++) {
      commit(1);
      bench.run(50);
    }
    expect(seen.versions.filter((each) => each > 0)).toEqual([...range(1, from), 102, ...range(103, 122)]);
    expect(seen.cells.slice(-20)).toEqual(range(103, 122));
    expect(seen.conflations.length).toBe(1);
  });

  test("or the end of the link, as asked", () => {
    const bench = new Bench();
    const server = bench.start("s", {
      listen: "10.0.0.1:1",
      insecure: true,
      shape: [4000],
      queueBytesMax: 0,
      heartbeatMs: 60_000,
    });
    const options = { server: "10.0.0.1:1", shape: [4000], heartbeatMs: 60_000 };
    const node = bench.start("f", { ...options, mode: "every", overflow: "disconnect" });
    const errors: MemblastError[] = [];
    node.on("error", (error) => errors.push(error));
    bench.run(1000);
    bench.isStalled = true;
    for (let i = 1; i <= 10; i++) server.write((a) => a.fill(i));
    bench.isStalled = false;
    bench.run(5000);
    expect(errors.map(({ code, details }) => [code, details["reason"]])).toEqual([["REFUSED", "OVERFLOW"]]);
    expect(server.stats().links).toEqual([]);
  });

  test("after a lost link the gap is one delta, and told", () => {
    const bench = new Bench(1 << 20);
    const server = bench.start("s", { listen: "10.0.0.1:1", insecure: true, shape: [10] });
    const node = bench.start("f", { server: "10.0.0.1:1", shape: [10], mode: "every", ...fast });
    node.on("error", () => {});
    const seen = watch(node);
    bench.run(1000);
    let version = 0;
    const commit = (count: number) => {
      for (let i = 0; i < count; i++) server.write((a) => a.set(0, ++version));
    };
    commit(3);
    bench.run(1000);
    for (const pair of [...bench.network.pairs]) pair.cut();
    bench.run(1000); // back again, with nothing missed
    commit(3);
    bench.run(1000);
    expect(seen.conflations).toEqual([]);
    for (const pair of [...bench.network.pairs]) pair.cut();
    commit(4);
    bench.run(1000);
    commit(2);
    bench.run(1000);
    expect(seen.conflations).toEqual([{ source: "10.0.0.1:1", from: 6, version: 10, cause: "reconnect" }]);
    expect(seen.versions.filter((each) => each > 0)).toEqual([1, 2, 3, 4, 5, 6, 10, 11, 12]);
  });

  test("a server that begins anew is told of, though its versions are below those of before", () => {
    const bench = new Bench(1 << 20);
    const options = { listen: "10.0.0.1:1", insecure: true, shape: [10] };
    const commit = (server: Node, from: number, to: number) => {
      for (let i = from; i <= to; i++) server.write((a) => a.set(0, i));
    };
    const first = bench.start("s", options);
    commit(first, 1, 5);
    const node = bench.start("f", { server: "10.0.0.1:1", shape: [10], mode: "every", ...fast });
    const latest = bench.start("g", { server: "10.0.0.1:1", shape: [10], ...fast });
    for (const each of [node, latest]) each.on("error", () => {});
    const [seen, merged] = [watch(node), watch(latest)];
    bench.run(1000);
    commit(first, 6, 7);
    bench.run(100);
    void first.close();
    bench.run(2000);
    const second = bench.start("s", options);
    commit(second, 1, 3);
    bench.run(1000);
    commit(second, 4, 5);
    bench.run(100);
    const { version } = seen.conflations[0]!; // what there was when it came back
    expect(seen.conflations).toEqual([{ source: "10.0.0.1:1", from: 0, version, cause: "restart" }]);
    expect(seen.versions).toEqual([6, 7, ...range(version, 5)]);
    expect(merged.conflations).toEqual([]);
  });

  test("a relay passes every commit on", async () => {
    await using source = await start("a", { listen: 0, shape: [10] });
    await using relay = await start("b", { listen: 0, server: source.addresses[0]!, mode: "every" });
    await using leaf = await start("c", { server: relay.addresses[0]!, mode: "every" });
    await leaf.ready;
    const seen = watch(leaf);
    for (let i = 1; i <= 100; i++) source.write((a) => a.set(0, i));
    await until(() => seen.cells.at(-1) === 100, "the last commit");
    expect(seen.cells).toEqual(range(1, 100));
  });

  test("commits that do not concern the subscription are no deltas", async () => {
    await using server = await start("s", { listen: 0, shape: [1000] });
    await using node = await start("f", {
      server: server.addresses[0]!,
      mode: "every",
      maps: [[[500], [10], null, "part"]],
    });
    await node.ready;
    const seen: number[] = [];
    node.onUpdate((update) => seen.push(update.sourceVersion));
    for (let i = 1; i <= 30; i++) server.write((a) => a.set(i % 3 ? 0 : 505, i));
    await until(() => seen.length === 10, "ten of thirty");
    expect(seen).toEqual(range(1, 10).map((i) => 3 * i));
  });

  test("beside other writers no node can promise it", async () => {
    const name = `pace-${process.pid}-${crypto.randomUUID().slice(0, 8)}`;
    await using server = await start(name, { listen: 0, shape: [4], share: true, writers: "many" });
    await using node = await start("f", { server: server.addresses[0]!, shape: [4], mode: "every" });
    const errors: MemblastError[] = [];
    node.on("error", (error) => errors.push(error));
    expect(await codeOf(() => node.ready)).toBe("REFUSED");
    expect(errors[0]!.details["reason"]).toBe("UNSUPPORTED");
  });
});

describe("maxRate", () => {
  test("holds from the start, changes while it runs, and is kept over a lost link", () => {
    const bench = new Bench(1 << 20);
    const server = bench.start("s", { listen: "10.0.0.1:1", insecure: true, shape: [10] });
    const node = bench.start("f", { server: "10.0.0.1:1", shape: [10], maxRate: 10, ...fast });
    node.on("error", () => {});
    bench.run(1000);
    const rateOver = (seconds: number) => {
      const before = node.stats().links[0]!.deltas;
      for (let i = 0; i < seconds * 100; i++) {
        server.write((a) => a.set(0, bench.clock.now + 1));
        bench.run(10);
      }
      return (node.stats().links[0]!.deltas - before) / seconds;
    };
    expect(rateOver(5)).toBeCloseTo(10, 0);
    node.setRate("10.0.0.1:1", 25);
    expect(rateOver(4)).toBeCloseTo(25, 0);
    for (const pair of [...bench.network.pairs]) pair.cut();
    bench.run(1000);
    expect(rateOver(4)).toBeCloseTo(25, 0);
    node.setRate("10.0.0.1:1", null);
    expect(rateOver(4)).toBeCloseTo(100, 0);
    expect(() => node.setRate("10.0.0.1:2", 1)).toThrow("does not follow 10.0.0.1:2, only 10.0.0.1:1");
    expect(() => server.setRate(7000, 1)).toThrow("does not follow 127.0.0.1:7000, nor any other server");
    expect(() => node.setRate("10.0.0.1:1", 0)).toThrow("A rate is");
  });

  test("with every commit, the rate makes them wait and loses none", () => {
    const bench = new Bench(1 << 20);
    const server = bench.start("s", { listen: "10.0.0.1:1", insecure: true, shape: [10] });
    const node = bench.start("f", { server: "10.0.0.1:1", shape: [10], mode: "every", maxRate: 50 });
    const seen = watch(node);
    bench.run(1000);
    for (let i = 1; i <= 100; i++) server.write((a) => a.set(0, i));
    bench.run(1000);
    expect(seen.cells.length).toBeWithin(45, 55);
    bench.run(1500);
    expect(seen.cells.filter((cell) => cell > 0)).toEqual(range(1, 100));
  });
});
