import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { start } from "../../src/index.ts";
import type { WelcomeMessage } from "../../src/protocol/messages.ts";
import { RawFollower } from "./raw.ts";
import { codeOf, until } from "./until.ts";

setDefaultTimeout(30_000);

const fast = { reconnect: { minMs: 5, maxMs: 50 } };

describe("what is counted of a link that came in", () => {
  test("what did not concern it is neither lag nor conflation; what went with something later is", async () => {
    await using server = await start("s", { listen: 0, shape: [100, 64] });
    using raw = await RawFollower.connect(server.addresses[0]!);
    await raw.join("f");
    raw.subscribe(1, { regions: [{ array: null, start: [0, 0], shape: [1, 64] }], maxRate: 0.01 });
    await until(() => raw.dataBytes.has(1), "the first state");
    const link = () => server.stats().links[0]!;
    const commit = async (row: number, value: number) => {
      server.write((a) => a.set(row, 0, value));
      await Bun.sleep(0); // each in a turn of its own
    };
    for (let i = 1; i <= 5; i++) await commit(50, i);
    expect(link()).toMatchObject({ lag: 0, conflations: 0, conflatedVersions: 0, deltas: 1 });
    for (let i = 1; i <= 4; i++) await commit(0, i);
    expect(link().lag).toBe(9);
    raw.send({ type: "RATE", id: 1, perSecond: null });
    await until(() => link().deltas === 2, "all of it as one");
    expect(link()).toMatchObject({ lag: 0, conflations: 3, conflatedVersions: 8, deltas: 2 });
    await commit(0, 9);
    await until(() => link().deltas === 3, "the next, by itself");
    expect(link().conflations).toBe(3);
    expect(link()).toMatchObject({
      direction: "in",
      state: "live",
      reason: null,
      connected: true,
      waitingBytes: 0,
    });
  });

  test("what overflowed is behind until it is asked for again, or not wanted any more", async () => {
    await using server = await start("s", { listen: 0, shape: [64], queueBytesMax: 0 });
    using raw = await RawFollower.connect(server.addresses[0]!);
    await raw.join("f");
    const regions = [{ array: null, start: [0], shape: [64] }];
    raw.subscribe(1, { regions, mode: "every", maxRate: 0.01 });
    await until(() => raw.dataBytes.has(1), "the first state");
    const link = () => server.stats().links[0]!;
    const commit = async () => {
      server.write((a) => a.set(0, (a.get(0) as number) + 1));
      await Bun.sleep(0);
    };
    for (let i = 0; i < 5; i++) await commit();
    expect(link()).toMatchObject({ overflows: 1, waitingBytes: 0, version: 0, lag: 5, deltas: 1 });
    const [{ incarnation }] = raw.of("WELCOME") as [WelcomeMessage];
    raw.subscribe(2, { regions, mode: "every", have: { incarnation, version: 0 } });
    await until(() => raw.dataBytes.has(2), "what was missed");
    expect(link()).toMatchObject({ version: 5, lag: 0, deltas: 2 });
    raw.send({ type: "RATE", id: 2, perSecond: 0.01 });
    await raw.turn();
    await commit();
    await commit();
    expect(link()).toMatchObject({ overflows: 2, version: 5, lag: 2 });
    raw.send({ type: "UNSUBSCRIBE", id: 2 });
    await until(() => link().lag === 0, "no more");
    expect(link().version).toBe(null);
  });

  test('in the mode "every" nothing is conflated', async () => {
    await using server = await start("s", { listen: 0, shape: [64] });
    await using follower = await start("f", { server: server.addresses[0]!, shape: [64], mode: "every" });
    await follower.ready;
    for (let i = 1; i <= 50; i++) server.write((a) => a.set(0, i));
    await until(() => follower.ndarray().get(0) === 50, "all of them");
    expect(server.stats().links[0]).toMatchObject({ conflations: 0, conflatedVersions: 0, lag: 0 });
  });
});

describe("what is counted of a server that is followed", () => {
  test("what this end cannot know is null", async () => {
    await using server = await start("s", { listen: 0, shape: [4] });
    await using follower = await start("f", { server: server.addresses[0]!, shape: [4], ...fast });
    await follower.ready;
    const [link] = follower.stats().links;
    expect(link).toMatchObject({
      direction: "out",
      peer: "s",
      state: "live",
      reason: null,
      queuedBytes: 0,
      lag: null,
      waitingBytes: null,
      conflations: null,
      conflatedVersions: null,
    });
    await server.close();
    await until(() => follower.stats().links[0]!.state === "connecting", "the loss");
  });

  test("one that is given up stays to be seen, with the reason", async () => {
    await using good = await start("good", { listen: 0, shape: [4] });
    await using strict = await start("strict", {
      listen: 0,
      shape: [4],
      secrets: { k: { secret: "0123456789abcdef" } },
    });
    strict.on("error", () => {});
    await using follower = await start("f", {
      servers: [
        { address: good.addresses[0]!, maps: [[[0], [4], null, "a"]] },
        { address: strict.addresses[0]!, maps: [[[0], [4], null, "b"]] },
      ],
      ...fast,
    });
    follower.on("error", () => {});
    expect(await codeOf(() => follower.ready)).toBe("REFUSED");
    await until(() => follower.stats().links[0]!.state === "live", "the other one");
    const [live, refused] = follower.stats().links;
    expect(live).toMatchObject({ state: "live", connected: true, reason: null });
    expect(refused).toMatchObject({ state: "given up", connected: false, address: strict.addresses[0] });
    expect(refused!.reason).toContain("secret");
  });
});
