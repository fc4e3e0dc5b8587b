import { expect, setDefaultTimeout, test } from "bun:test";
import { follower, slowOdds, source } from "./calm.ts";
import { Clock } from "./clock.ts";
import { Cluster } from "./cluster.ts";
import { Random } from "./random.ts";
import { Weather } from "./weather.ts";

setDefaultTimeout(30_000);

test("a commit in the middle of a handshake reaches the follower that resumes", () => {
  for (let moment = 0; moment < 600; moment += 7) {
    const clock = new Clock();
    const random = new Random(moment + 1);
    const cluster = new Cluster("sim-", clock, random, new Weather(slowOdds, clock, random));
    cluster.add(source);
    cluster.add({ ...follower, checkHash: true });
    for (const member of cluster.members) cluster.start(member);
    clock.runUntil(2000);
    cluster.write(cluster.members[0]!);
    clock.runUntil(4000);
    for (const pair of [...cluster.network.pairs]) pair.cut();
    clock.runUntil(4000 + moment);
    cluster.write(cluster.members[0]!);
    clock.runUntil(8000);
    expect([moment, cluster.oracle.difference()]).toEqual([moment, null]);
  }
});
