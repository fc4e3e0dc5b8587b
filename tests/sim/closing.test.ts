import { expect, setDefaultTimeout, test } from "bun:test";
import { follower, slowOdds, source } from "./calm.ts";
import { Clock } from "./clock.ts";
import { Cluster } from "./cluster.ts";
import { Random } from "./random.ts";
import { Weather } from "./weather.ts";

setDefaultTimeout(30_000);

test.each(["latest", "every"] as const)(
  "a node closes while deltas wait for a follower that takes nothing: %s",
  async (mode) => {
    const clock = new Clock();
    const random = new Random(1);
    const weather = new Weather({ ...slowOdds, jitterMs: 0, capacityBytes: 500 }, clock, random);
    const cluster = new Cluster("sim-", clock, random, weather);
    cluster.add(source);
    cluster.add({ ...follower, parents: [{ ...follower.parents[0]!, mode }] });
    for (const member of cluster.members) cluster.start(member);
    clock.runUntil(100);
    weather.stall(60_000, null);
    for (let i = 0; i < 20; i++) {
      cluster.write(cluster.members[0]!);
      clock.runUntil(clock.now + 1);
    }
    const { node } = cluster.members[0]!;
    expect(Math.max(...node!.stats().links.map((link) => link.queuedBytes))).toBeGreaterThan(0);
    const closed = node!.close();
    clock.runUntil(clock.now + 10_000);
    await closed;
    void cluster.members[1]!.node!.close();
    clock.runUntil(clock.now + 10_000);
  },
);
