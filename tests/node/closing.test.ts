/** Nodes and pages that are closed by a handler of theirs, in the midst of what it was told of. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { truncateSync } from "node:fs";
import { Client } from "../../src/browser/client.ts";
import { parseConnectOptions } from "../../src/browser/options.ts";
import { aheadMsMax } from "../../src/delta/stamp.ts";
import { type StartOptions, start } from "../../src/index.ts";
import { placeOf } from "../../src/memory/place.ts";
import { Node } from "../../src/node/node.ts";
import type { World } from "../../src/node/runtime/world.ts";
import { LoopbackNetwork } from "../../src/transport/loopback_network.ts";
import type { Transport } from "../../src/transport/link.ts";
import { uniqueName } from "../memory/names.ts";
import { Clock } from "../sim/clock.ts";
import { Random } from "../sim/random.ts";
import { virtualWorld } from "../sim/virtual_world.ts";
import { codeOf } from "./until.ts";

setDefaultTimeout(30_000);

const url = "ws://10.0.0.1:1/";
const reconnect = { minMs: 5, maxMs: 20 };

/** Whoever lives here has a time of day and timers of its own. */
class Place {
  aheadMs = 0;
  /** Timers that wait. */
  readonly timers = new Set<object>();
  readonly errors: string[] = [];
  readonly world: World;

  constructor(clock: Clock, random: Random, network: LoopbackNetwork) {
    this.world = {
      ...virtualWorld(clock, random, network),
      wallMs: () => 1e12 + clock.now + this.aheadMs,
      after: (ms, action) => {
        const timer = {};
        this.timers.add(timer);
        const cancel = clock.schedule(ms, () => {
          this.timers.delete(timer);
          action();
        });
        return () => {
          this.timers.delete(timer);
          cancel();
        };
      },
    };
  }
}

/** A server and its follower, in virtual time. */
class Bench {
  readonly clock = new Clock();
  readonly random = new Random(7);
  readonly network = new LoopbackNetwork({ scheduler: this.clock });
  readonly there = new Place(this.clock, this.random, this.network);
  readonly here = new Place(this.clock, this.random, this.network);

  start({ world, errors }: Place, options: StartOptions): Node {
    let node: Node | null = null;
    const onError = ({ code }: { code: string }) => void errors.push(code);
    const name = world === this.there.world ? "s" : "f";
    const exposed = options.listen === undefined ? {} : { insecure: true };
    void Node.start(name, { ...exposed, reconnect, onError, ...options }, world).then(
      (started) => (node = started),
    );
    this.run(50);
    return node!;
  }

  run(ms: number): void {
    this.clock.runUntil(this.clock.now + ms);
  }
}

describe("a node of a mesh, where a peer's clock is wrong,", () => {
  const hours = (count: number) => count * 3_600_000;
  const mesh = { mesh: true, shape: [8] };

  function follow(bench: Bench): { peer: Node; node: Node } {
    const peer = bench.start(bench.there, { ...mesh, listen: url });
    return { peer, node: bench.start(bench.here, { ...mesh, server: url }) };
  }

  test("that is closed by who hears of it looks no second time", () => {
    const bench = new Bench();
    const { peer, node } = follow(bench);
    node.on("error", () => void node.close());
    bench.there.aheadMs = hours(2);
    peer.write((a) => a.set(0, 1));
    bench.run(hours(1));
    expect([bench.here.errors, bench.here.timers.size]).toEqual([["CLOCK_AHEAD"], 0]);
  });

  test("that is closed by the update tells nothing of it", () => {
    const bench = new Bench();
    const { peer, node } = follow(bench);
    node.onUpdate(() => void node.close());
    peer.write((a) => a.set(0, 1));
    bench.there.aheadMs = hours(2);
    peer.write((a) => a.set(1, 1));
    bench.run(hours(1));
    expect([bench.here.errors, bench.here.timers.size]).toEqual([[], 0]);
  });

  test("that is closed by what the second look brings looks no third time", () => {
    const bench = new Bench();
    const { peer, node } = follow(bench);
    node.onUpdate(() => void node.close());
    bench.there.aheadMs = aheadMsMax + 5_000;
    peer.write((a) => a.set(0, 1));
    bench.there.aheadMs = hours(5);
    peer.write((a) => a.set(1, 1));
    bench.run(hours(1));
    expect([bench.here.errors, bench.here.timers.size]).toEqual([["CLOCK_AHEAD"], 0]);
  });
});

describe("who is closed by the update of a gap hears of no gap:", () => {
  function gap(bench: Bench, server: Node): void {
    for (const pair of bench.network.pairs) pair.cut();
    for (let i = 1; i <= 5; i++) server.write((a) => a.set(0, i));
    bench.run(5000);
  }

  test("a node", () => {
    const bench = new Bench();
    const server = bench.start(bench.there, { shape: [4], listen: url });
    const node = bench.start(bench.here, { server: url, mode: "every" });
    const told: string[] = [];
    node.on("conflated", () => told.push("gap"));
    node.onUpdate(({ sourceVersion }) => {
      told.push(`version ${sourceVersion}`);
      void node.close();
    });
    gap(bench, server);
    expect([told, bench.here.timers.size]).toEqual([["version 5"], 0]);
  });

  test("a page", () => {
    const bench = new Bench();
    const server = bench.start(bench.there, { shape: [4], listen: url });
    const options = parseConnectOptions(url, { mode: "every", reconnect }, "1");
    const client = new Client(options, bench.here.world, undefined);
    bench.run(50);
    const told: string[] = [];
    client.on("conflated", () => told.push("gap"));
    client.onUpdate(({ sourceVersion }) => {
      told.push(`version ${sourceVersion}`);
      client.close();
    });
    client.onUpdate(() => told.push("the next handler"));
    gap(bench, server);
    expect([told, bench.here.timers.size]).toEqual([["version 5"], 0]);
  });
});

test("the handlers behind the one that closes the node are not called", () => {
  const bench = new Bench();
  const server = bench.start(bench.there, { shape: [4], listen: url });
  const node = bench.start(bench.here, { server: url });
  const told: string[] = [];
  for (const name of ["first", "second"])
    node.onUpdate(() => {
      told.push(name);
      void node.close();
    });
  server.write((a) => a.set(0, 1));
  bench.run(1000);
  expect(told).toEqual(["first"]);
});

test("a node that is closed while it opens its doors leaves none open, and start() says so", async () => {
  const bench = new Bench();
  const server = bench.start(bench.there, { shape: [4], listen: url });
  server.write((a) => a.set(0, 1));
  let [opened, left] = [0, 0];
  const listen: Transport["listen"] = async (...all) => {
    await new Promise<void>((resolve) => bench.clock.schedule(100, resolve));
    const listener = await bench.network.listen(...all);
    opened++;
    left++;
    const close = () => {
      left = 0; // there is only one
      listener.close();
    };
    return { address: listener.address, connections: 0, refused: 0, close };
  };
  const { transport } = bench.here.world;
  const world = {
    ...bench.here.world,
    transport: { ...transport, connect: transport.connect.bind(transport), listen },
  };
  const options = {
    server: url,
    insecure: true,
    listen: ["10.0.0.2:1", "10.0.0.2:2", "10.0.0.2:3"],
    onUpdate: (_: unknown, node: Node) => void node.close(),
  };
  const started = codeOf(() => Node.start("f", options, world));
  bench.run(2000);
  expect([await started, opened, left, bench.here.timers.size]).toEqual(["CLOSED", 1, 0, 0]);
});

test("a handler that closes the node over an error of its closing does not begin that again", async () => {
  const name = uniqueName("closing");
  const codes: string[] = [];
  const options = { shape: [5000], share: true, writers: "many", listen: 0 } as const;
  const node = await start(name, {
    ...options,
    onError: ({ code }) => {
      codes.push(code);
      void node.close();
    },
  });
  truncateSync(placeOf(name).data, 4096);
  await node.close();
  expect(codes).toEqual(["TRUNCATED"]);
});
