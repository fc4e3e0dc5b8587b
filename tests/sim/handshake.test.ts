import { expect, test } from "bun:test";
import { Clock } from "./clock.ts";
import { Cluster } from "./cluster.ts";
import { Random } from "./random.ts";
import { Weather } from "./weather.ts";

const slowButSound = {
  cut: 0,
  flip: 0,
  stall: 0,
  partition: 0,
  restart: 0,
  clockJump: 0,
  delayMsMax: 100,
  sliceBytesMax: 1e6,
  capacityBytes: 1 << 20,
  fill: 0,
  cells: 96,
  queueBytes: 1 << 20,
};

test("a commit in the middle of a handshake reaches the follower that resumes", () => {
  for (let moment = 0; moment < 600; moment += 7) {
    const clock = new Clock();
    const random = new Random(moment + 1);
    const cluster = new Cluster(clock, random, new Weather(slowButSound, clock, random));
    cluster.add(null, false);
    cluster.add(0, true);
    clock.runUntil(2000);
    cluster.write(cluster.members[0]!);
    clock.runUntil(4000);
    for (const pair of [...cluster.network.pairs]) pair.cut();
    clock.runUntil(4000 + moment);
    cluster.write(cluster.members[0]!);
    clock.runUntil(8000);
    expect([moment, cluster.difference()]).toEqual([moment, null]);
  }
});
