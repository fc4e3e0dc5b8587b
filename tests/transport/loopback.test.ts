import { describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Scheduler, Wire } from "../../src/transport/flight.ts";
import { loopbackPair } from "../../src/transport/loopback.ts";
import { LoopbackNetwork } from "../../src/transport/loopback_network.ts";
import { linkContract } from "./contract.ts";
import { Random, seed } from "./random.ts";
import { Recorder } from "./recorder.ts";
import { VirtualTime } from "./virtual_time.ts";

setDefaultTimeout(30_000);

const realTime: Scheduler = {
  schedule(delayMs, job) {
    if (delayMs === 0) {
      const immediate = setImmediate(job);
      return () => clearImmediate(immediate);
    }
    const timer = setTimeout(job, delayMs);
    return () => clearTimeout(timer);
  },
};

linkContract("loopback", {
  transport: new LoopbackNetwork({ scheduler: realTime }),
  address: () => ({ kind: "tcp", host: "127.0.0.1", port: 0 }),
  bulkBytes: 16 * 1024 * 1024,
  floodBytes: 2 * 1024 * 1024,
  tellsAborts: true,
});

let paths = 0;
const narrow: Wire = { capacityBytes: 1000, sliceBytes: () => 1 };
linkContract("loopback, a byte at a time", {
  transport: new LoopbackNetwork({ scheduler: realTime, wires: () => ({ there: narrow, back: narrow }) }),
  address: () => ({ kind: "unix", path: `/nowhere/${++paths}` }),
  bulkBytes: 64 * 1024,
  floodBytes: 4096,
  tellsAborts: true,
});

describe("under a virtual clock", () => {
  function joined(there: Wire, back: Wire = {}, nearHooks = {}) {
    const time = new VirtualTime();
    const near = new Recorder(nearHooks);
    const far = new Recorder();
    const pair = loopbackPair(
      time,
      { handler: near, description: "near", remote: "far", wire: there },
      { handler: far, description: "far", remote: "near", wire: back },
    );
    return { time, near, far, pair };
  }

  const message = new Random(7).bytes(100);

  test("a link cut after N bytes delivers these and no more, for every N", () => {
    for (let cutAfterBytes = 0; cutAfterBytes <= message.length; cutAfterBytes++) {
      const { time, near, far, pair } = joined({ cutAfterBytes, sliceBytes: () => 7 });
      pair.near.write([message]);
      time.run();
      expect(far.received()).toEqual(message.slice(0, cutAfterBytes));
      for (const end of [near, far]) {
        expect(end.closes).toBe(1);
        expect(end.faults).toEqual([]);
        expect(end.cause).toMatchObject({ code: "LINK_CLOSED" });
      }
    }
  });

  test(`the same seed gives the same deliveries at the same moments (seed ${seed})`, () => {
    const trace = () => {
      const random = new Random();
      const wire: Wire = {
        capacityBytes: 64,
        delayMs: () => random.between(0, 20),
        sliceBytes: (available) => random.between(0, available),
      };
      const seen: string[] = [];
      const { time, far, pair } = joined(wire, {}, { onDrain: () => seen.push(`drain ${time.now}`) });
      const look = far.onBytes.bind(far);
      far.onBytes = (link, bytes) => {
        seen.push(`${bytes.length} at ${time.now}`);
        look(link, bytes);
      };
      pair.near.write([message]);
      pair.near.close();
      time.run(1000);
      expect(far.received()).toEqual(message);
      return seen;
    };
    const first = trace();
    expect(first.length).toBeGreaterThan(3);
    expect(trace()).toEqual(first);
  });

  test("a wire that brings nothing for a while stalls one direction alone", () => {
    let isStalled = true;
    const { time, near, far, pair } = joined({
      delayMs: () => 10,
      sliceBytes: (all) => (isStalled ? 0 : all),
    });
    pair.near.write([message]);
    pair.far.write([message]);
    time.run(100);
    expect(far.receivedBytes).toBe(0);
    expect(near.receivedBytes).toBe(message.length);
    isStalled = false;
    time.run(200);
    expect(far.received()).toEqual(message);
  });

  test("bytes may be changed on the way, at a known position", () => {
    const { time, far, pair } = joined({
      sliceBytes: () => 10,
      alter(bytes, position) {
        if (position === 30) bytes[4]! ^= 1;
      },
    });
    pair.near.write([message]);
    time.run();
    const expected = message.slice();
    expected[34]! ^= 1;
    expect(far.received()).toEqual(expected);
  });

  test("what the sender keeps is never what the receiver gets", () => {
    const { time, far, pair } = joined({ alter: (bytes) => void bytes.fill(0) });
    const large = new Uint8Array(50_000).fill(5);
    pair.near.write([large]);
    time.run();
    expect(large.every((byte) => byte === 5)).toBe(true);
    expect(far.received().every((byte) => byte === 0)).toBe(true);
  });

  test("cut ends both sides at once, and the rest is lost", () => {
    const { time, near, far, pair } = joined({ delayMs: () => 5 });
    time.run(1);
    pair.near.write([message]);
    pair.cut();
    pair.cut();
    time.run();
    expect(far.receivedBytes).toBe(0);
    expect([near.closes, far.closes]).toEqual([1, 1]);
    expect(pair.near.state).toBe("closed");
  });

  test("a network answers or does not answer, and forgets links that have ended", async () => {
    const time = new VirtualTime();
    const dials: (number | "lost")[] = [30, "lost"];
    const network = new LoopbackNetwork({ scheduler: time, dialMs: () => dials.shift()! });
    const listener = await network.listen({ kind: "tcp", host: "a", port: 0 }, () => new Recorder());
    const connecting = network.connect(listener.address, new Recorder());
    const hanging = network.connect(listener.address, new Recorder(), { timeoutMs: 100 });
    const outcome = hanging.catch((error) => error.details.reason);
    time.run(50);
    const link = await connecting;
    expect(network.pairs.size).toBe(1);
    time.run(200);
    expect(await outcome).toBe("timeout");
    link.close();
    time.run();
    expect(network.pairs.size).toBe(0);
    expect(listener.connections).toBe(0);
  });
});
