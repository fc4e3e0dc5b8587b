import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { Client } from "../../src/browser/client.ts";
import { connect, type ConnectOptions } from "../../src/browser/index.ts";
import { parseConnectOptions } from "../../src/browser/options.ts";
import { type MemblastError, type Node, start, type StartOptions } from "../../src/index.ts";
import type { Conflation } from "../../src/node/runtime/events.ts";
import { Node as NodeWithWorld } from "../../src/node/node.ts";
import type { World } from "../../src/node/runtime/world.ts";
import type { Wire } from "../../src/transport/flight.ts";
import { LoopbackNetwork } from "../../src/transport/loopback_network.ts";
import { Proxy } from "../node/proxy.ts";
import { codeOf, until } from "../node/until.ts";
import { Clock } from "../sim/clock.ts";
import { Random } from "../sim/random.ts";
import { virtualWorld } from "../sim/virtual_world.ts";

setDefaultTimeout(30_000);

// How a browser's client is served: every commit, at a rate, after losses. The same as a node's follower, see tests/node/pace.test.ts.

const url = "ws://10.0.0.1:1/";

/** A node and clients on a network in memory, in virtual time. */
class Bench {
  readonly clock = new Clock();
  readonly random = new Random(7);
  back: Wire = {};
  readonly network = new LoopbackNetwork({
    scheduler: this.clock,
    wires: () => ({ there: { delayMs: () => 1 }, back: { delayMs: () => 1, ...this.back } }),
  });
  readonly #world: World = virtualWorld(this.clock, this.random, this.network);

  start(options: StartOptions): Node {
    let node: Node | null = null;
    void NodeWithWorld.start("s", { listen: url, insecure: true, ...options }, this.#world).then(
      (started) => (node = started),
    );
    this.run(10);
    return node!;
  }

  connect(options: ConnectOptions): Client {
    return new Client(parseConnectOptions(url, options, "1"), this.#world, undefined);
  }

  run(ms: number): void {
    this.clock.runUntil(this.clock.now + ms);
  }
}

interface Seen {
  readonly versions: number[];
  readonly cells: number[];
  readonly conflations: Conflation[];
}

function watch(client: Client): Seen {
  const seen: Seen = { versions: [], cells: [], conflations: [] };
  client.onUpdate(({ sourceVersion }) => {
    seen.versions.push(sourceVersion);
    seen.cells.push(Number(client.ndarray().get(0)));
  });
  client.on("conflated", (event) => seen.conflations.push(event));
  return seen;
}

const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);

function writeEach(node: Node, from: number, to: number): void {
  for (let i = from; i <= to; i++) node.write((a) => a.set(0, i));
}

describe("every", () => {
  test("each commit arrives by itself and in order; without it they come as one", async () => {
    await using node = await start("s", { listen: "ws://127.0.0.1:0/", shape: [100] });
    using every = connect(node.addresses[0]!, { mode: "every", checkHash: true });
    using latest = connect(node.addresses[0]!);
    const [each, merged] = [watch(every), watch(latest)];
    await Promise.all([every.ready, latest.ready]);
    writeEach(node, 1, 200);
    await until(() => every.version === 200 && latest.version === 200, "version 200");
    expect(each.versions.filter((version) => version > 0)).toEqual(range(1, 200));
    expect(each.cells.slice(-200)).toEqual(range(1, 200));
    expect(each.conflations).toEqual([]);
    expect(merged.versions.length).toBeLessThan(10);
    expect(every.stats()).toMatchObject({ conflatedVersions: 0, overflows: 0 });
  });

  test("what was missed while the link was away is told", async () => {
    await using node = await start("s", { listen: "ws://127.0.0.1:0/", shape: [100] });
    using proxy = new Proxy(new URL(node.addresses[0]!).host);
    const reconnect = { minMs: 5, maxMs: 20 };
    using client = connect(`ws://${proxy.address}/`, { mode: "every", reconnect });
    const seen = watch(client);
    await client.ready;
    writeEach(node, 1, 3);
    await until(() => client.version === 3, "version 3");
    proxy.cutAll();
    writeEach(node, 4, 9);
    await until(() => client.version === 9, "version 9");
    writeEach(node, 10, 12);
    await until(() => client.version === 12, "version 12");
    expect(seen.versions.filter((version) => version > 0)).toEqual([1, 2, 3, 9, 10, 11, 12]);
    const source = `ws://${proxy.address}/`;
    expect(seen.conflations).toEqual([{ source, from: 3, version: 9, cause: "reconnect" }]);
  });

  test("a node that begins anew is told of, also to who chooses other regions meanwhile, and with other arrays", async () => {
    const bench = new Bench();
    const first = bench.start({ shape: [10] });
    writeEach(first, 1, 5);
    const client = bench.connect({ mode: "every", reconnect: { minMs: 5, maxMs: 20 } });
    const seen = watch(client);
    client.on("error", () => {});
    bench.run(500);
    void first.close();
    bench.run(2000);
    const second = bench.start({ shape: [10] });
    writeEach(second, 1, 3);
    bench.run(500);
    writeEach(second, 4, 5);
    bench.run(100);
    const restart = { source: url, from: 0, cause: "restart" };
    expect(seen.conflations).toMatchObject([restart]);
    void second.close();
    bench.run(2000);
    const third = bench.start({ shape: [20] });
    client.on("connect", () => void client.follow([{ shape: [5] }]));
    writeEach(third, 1, 2);
    bench.run(500);
    writeEach(third, 3, 4);
    bench.run(100);
    expect(seen.conflations).toMatchObject([restart, restart]);
    const [before, after] = seen.conflations.map(({ version }) => version); // what there was when it came back
    expect(seen.versions).toEqual([5, ...range(before!, 5), ...range(after!, 4)]);
    expect(client.ndarray().shape).toEqual([5]);
    client.close();
  });

  test.each(["latest", "disconnect"] as const)("too many that wait: %s", (overflow) => {
    const bench = new Bench();
    const node = bench.start({ shape: [4000], queueBytesMax: 100_000 });
    const client = bench.connect({ mode: "every", overflow, maxRate: 10 });
    const seen = watch(client);
    const errors: MemblastError[] = [];
    client.on("error", (error) => errors.push(error));
    bench.run(500);
    expect(client.state).toBe("live");
    for (let i = 1; i <= 8; i++) node.write((a) => a.fill(i));
    bench.run(2000);
    expect(client.stats().overflows).toBe(1);
    if (overflow === "disconnect") {
      expect(client.state).toBe("closed");
      expect(errors.map(({ code, details }) => [code, details["reason"]])).toEqual([["REFUSED", "OVERFLOW"]]);
    } else {
      expect([client.state, client.version, errors.length]).toEqual(["live", 8, 0]);
      expect(seen.conflations.map(({ version, cause }) => [version, cause])).toEqual([[8, "overflow"]]);
      writeEach(node, 9, 10);
      bench.run(1000);
      expect(seen.versions.slice(-2)).toEqual([9, 10]);
    }
    client.close();
  });
});

describe("a rate", () => {
  test("holds on every later link, and can be taken away", () => {
    const bench = new Bench();
    const node = bench.start({ shape: [10] });
    const client = bench.connect({ maxRate: null });
    bench.run(500);
    client.setRate(4);
    for (const pair of bench.network.pairs) pair.cut();
    bench.run(3000);
    expect(client.state).toBe("live");
    const deltasOf = (ms: number) => {
      const before = client.stats().deltas;
      for (let i = 0; i < ms; i += 10) {
        node.write((a) => a.set(1, Number(a.get(1)) + 1));
        bench.run(10);
      }
      return client.stats().deltas - before;
    };
    const held = deltasOf(2000);
    expect(held).toBeGreaterThanOrEqual(7);
    expect(held).toBeLessThanOrEqual(9);
    client.setRate(null);
    expect(deltasOf(2000)).toBeGreaterThan(100);
    client.close();
  });
});

test("a link that never brings anything is tried less and less often", () => {
  const bench = new Bench();
  const node = bench.start({ shape: [4000] });
  node.write((a) => a.fill(1));
  bench.back = { cutAfterBytes: 1500 }; // behind WELCOME, before the first state
  const client = bench.connect({ reconnect: { minMs: 50, maxMs: 10_000 } });
  const connects: string[] = [];
  client.on("connect", ({ address }) => connects.push(address));
  bench.run(120_000);
  expect(connects.length).toBeGreaterThan(5);
  expect(connects.length).toBeLessThan(60); // one after every 5 s, at random, once the bound is reached
  expect(connects[0]).toBe(url);
  bench.back = {};
  bench.run(20_000);
  expect(client.version).toBe(1);
  client.close();
});

test("options have the bounds of a node's", async () => {
  const secret = "x".repeat(16);
  const wrong: ConnectOptions[] = [
    { maxRate: 0 },
    { maxRate: Number.NaN },
    { mode: "all" as "every" },
    { overflow: "drop" as "latest" },
    { heartbeatMs: 9 },
    { reconnect: { minMs: 0 } },
    { name: "" },
    { name: "a\nb" },
    { secret: { keyId: "k", secret: "short" } },
    { secret: { keyId: "", secret } },
  ];
  for (const options of wrong)
    expect([options, await codeOf(() => connect("ws://127.0.0.1:1", options))]).toEqual([
      options,
      "INVALID_OPTION",
    ]);
  await using node = await start("s", { listen: "ws://127.0.0.1:0/", shape: [1] });
  using client = connect(node.addresses[0]!);
  expect(await codeOf(() => client.setRate(-1))).toBe("INVALID_OPTION");
});

test("the stamps of a mesh are not among what is followed by default, and can be asked for", async () => {
  await using node = await start("s", {
    listen: "ws://127.0.0.1:0/",
    mesh: true,
    shape: [4],
    arrays: { b: { shape: [2] } },
  });
  node.write((a) => a.set(1, 5));
  using client = connect(node.addresses[0]!);
  await client.ready;
  expect(client.names).toEqual([null, "b"]);
  expect(client.ndarray().get(1)).toBe(5);
  using stamps = connect(node.addresses[0]!, { regions: [{ array: "@stamps" }] });
  await stamps.ready;
  expect(stamps.data("@stamps")[1]).toBeGreaterThan(0n);
  expect(stamps.data("@stamps")[0]).toBe(0n);
});
