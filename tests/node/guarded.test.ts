import { expect, test } from "bun:test";
import { MemblastError } from "../../src/index.ts";
import { guarded } from "../../src/node/runtime/guarded.ts";
import { Node } from "../../src/node/node.ts";
import { realWorld, type World } from "../../src/node/runtime/world.ts";
import { systemTransport } from "../../src/transport/endpoint.ts";
import { Clock } from "../sim/clock.ts";
import { until } from "./until.ts";

test("what a timer throws is told, and others are called all the same", () => {
  const clock = new Clock();
  const told: MemblastError[] = [];
  const world = guarded(
    {
      ...realWorld,
      after: (ms, action) => clock.schedule(ms, action),
      soon: (action) => void clock.schedule(0, action),
    },
    (error) => told.push(error),
  );
  const own = new MemblastError("TRUNCATED", "It is gone");
  world.after(10, () => {
    throw own;
  });
  world.soon(() => {
    throw new RangeError("too deep");
  });
  let calls = 0;
  world.after(20, () => calls++);
  world.after(30, () => calls++)();
  clock.runUntil(100);
  expect(told.map(({ code }) => code)).toEqual(["SYSTEM", "TRUNCATED"]);
  expect(told[0]!.cause).toBeInstanceOf(RangeError);
  expect(told[1]).toBe(own);
  expect(calls).toBe(1);
});

test("a node is in such a world", async () => {
  const told: MemblastError[] = [];
  let attempts = 0;
  const connect = () => {
    if (attempts++ > 0) throw new RangeError("too deep");
    return Promise.reject(new MemblastError("CONNECT_FAILED", "Nobody is there"));
  };
  const world: World = { ...realWorld, transport: { ...systemTransport, connect } };
  const options = { server: 1, shape: [1], reconnect: { minMs: 1, maxMs: 2 } };
  await using node = await Node.start("n", { ...options, onError: (error) => told.push(error) }, world);
  await until(() => told.length > 1, "the second attempt");
  expect(told.map(({ code }) => code)).toEqual(["CONNECT_FAILED", "SYSTEM"]);
  expect(node.stats().links.length).toBe(1);
});
