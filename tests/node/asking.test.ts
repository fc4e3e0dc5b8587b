import { afterAll, afterEach, describe, expect, setDefaultTimeout, spyOn, test } from "bun:test";
import { connect } from "../../src/browser/index.ts";
import { start } from "../../src/index.ts";
import { Allowance } from "../../src/node/publishing/allowance.ts";
import { Asking } from "../../src/node/following/asking.ts";
import { realWorld } from "../../src/node/runtime/world.ts";
import { refuse } from "../../src/protocol/fault.ts";
import { Clock } from "../sim/clock.ts";
import { codeOf, until } from "./until.ts";

setDefaultTimeout(30_000);

const pay = spyOn(Allowance.prototype, "pay");
afterEach(() => void pay.mockReset());
afterAll(() => void pay.mockRestore());

/** The server refuses the next requests: too much in too short a time. */
function exhaust(requests: number): void {
  for (let i = 0; i < requests; i++) pay.mockImplementationOnce(() => refuse("LIMIT", "wait a second"));
  pay.mockClear();
}

describe("what is refused for the moment", () => {
  test("is asked for again every second, and not for ever", () => {
    const clock = new Clock();
    const asked: number[] = [];
    const world = { ...realWorld, after: (ms: number, action: () => void) => clock.schedule(ms, action) };
    const asking = new Asking(world, () => asked.push(clock.now));
    const patience = () => {
      let count = 0;
      for (; asking.refused("LIMIT"); count++) {
        expect(asking.isWaiting).toBe(true);
        clock.runUntil(clock.now + 1000);
        expect(asking.isWaiting).toBe(false);
      }
      return count;
    };
    for (const code of ["REGION", "FORBIDDEN", "UNSUPPORTED"] as const)
      expect(asking.refused(code)).toBe(false);
    expect(asking.isWaiting).toBe(false);
    const count = patience();
    expect(count).toBeGreaterThan(9); // by then every allowance has come back
    expect(asked).toEqual(Array.from({ length: count }, (_, i) => 1000 * (i + 1)));
    expect(asking.isWaiting).toBe(false);
    asking.refused("LIMIT");
    clock.runUntil(clock.now + 1000);
    asking.accepted();
    expect(patience()).toBe(count);
    expect(asking.refused("LIMIT")).toBe(true);
    asking.stop();
    clock.runUntil(clock.now + 5000);
    expect(asked.length).toBe(2 * count + 1);
  });

  test("a node gets a second later", async () => {
    await using server = await start("s", { listen: 0, shape: [4] });
    server.write((a) => a.fill(3));
    exhaust(1);
    await using node = await start("f", { server: server.addresses[0]!, shape: [4] });
    const errors: string[] = [];
    node.on("error", ({ code }) => errors.push(code));
    await node.ready;
    expect(node.ndarray().get(3)).toBe(3);
    expect(pay).toHaveBeenCalledTimes(2);
    expect(errors).toEqual([]);
    expect(node.stats().links[0]!.state).toBe("live");
  });

  test("a page gets a second later, the newest of what it has asked for meanwhile; what was there stays", async () => {
    await using node = await start("s", { listen: "ws://127.0.0.1:0/", shape: [8, 8] });
    node.write((a) => a.fill(1));
    using client = connect(node.addresses[0]!, { regions: [{ shape: [1, 8], as: "first" }] });
    const errors: string[] = [];
    client.on("error", ({ code }) => errors.push(code));
    await client.ready;
    exhaust(1);
    const choices = [client.follow([{ shape: [2, 8], as: "a" }])];
    await until(() => pay.mock.calls.length === 1, "the refusal");
    await Bun.sleep(50);
    expect(client.names).toEqual(["first"]);
    expect(client.ndarray("first").get(0, 7)).toBe(1);
    for (const as of ["b", "c"]) choices.push(client.follow([{ shape: [3, 8], as }]));
    await Promise.all(choices);
    expect(client.names).toEqual(["c"]);
    expect(pay).toHaveBeenCalledTimes(2);
    node.write((a) => a.set(2, 0, 5));
    await until(() => client.ndarray("c").get(2, 0) === 5, "a change of the new");
    expect(await codeOf(() => client.follow([{ start: [9, 9] }]))).toBe("INVALID_REGION");
    expect(client.state).toBe("live");
    expect(errors).toEqual([]);
  });

  test("of a page that has gone back to what it had, that is asked for again", async () => {
    await using node = await start("s", { listen: "ws://127.0.0.1:0/", shape: [8, 8] });
    using client = connect(node.addresses[0]!, { regions: [{ shape: [1, 8] }] });
    await client.ready;
    pay.mockImplementationOnce(() => refuse("FORBIDDEN", "not this one"));
    pay.mockImplementationOnce(() => refuse("LIMIT", "wait a second")); // the way back
    expect(await codeOf(() => client.follow(null))).toBe("REFUSED");
    expect(client.state).toBe("live");
    node.write((a) => a.set(0, 3, 4));
    await until(() => client.ndarray().get(0, 3) === 4, "what it had before");
  });
});
