import { expect, setDefaultTimeout, test } from "bun:test";
import { slowOdds, source } from "./calm.ts";
import { Clock } from "./clock.ts";
import { Cluster } from "./cluster.ts";
import type { Plan } from "./member.ts";
import { Random } from "./random.ts";
import { type Odds, Weather } from "./weather.ts";

setDefaultTimeout(30_000);

const node = (parents: readonly number[]): Plan => ({
  ...source,
  mesh: true,
  parents: parents.map((index) => ({ index, boxes: null, mode: "latest", maxRate: null })),
});

function meshOf(seed: number, odds: Odds, graph: readonly (readonly number[])[]) {
  const clock = new Clock();
  const random = new Random(seed);
  const cluster = new Cluster("sim-", clock, random, new Weather(odds, clock, random));
  for (const parents of graph) cluster.add(node(parents));
  for (const member of cluster.members) cluster.start(member);
  clock.runUntil(2000);
  const close = () => {
    for (const member of cluster.members) void member.node!.close();
    clock.runUntil(clock.now + 5000);
  };
  return { clock, random, cluster, nodes: cluster.members.map((member) => member.node!), close };
}

test("of two writes at one moment by nodes with the same tag the greater value goes round the whole ring", () => {
  const odds = { ...slowOdds, jitterMs: 0, areAlike: true };
  const { clock, cluster, nodes, close } = meshOf(1, odds, [[1], [2], [0]]);
  for (const [index, writer] of nodes.entries()) writer.write((a) => a.set(5, [2, 9, 4][index]!));
  expect(new Set(nodes.map((each) => each.ndarray("@stamps").get(5))).size).toBe(1);
  clock.runUntil(4000);
  expect(nodes.map((each) => each.ndarray().get(5))).toEqual([9, 9, 9]);
  expect(cluster.oracle.difference()).toBeNull();
  close();
});

const five = [0, 1, 2, 3, 4];

test.each([
  ["ring", five.map((i) => [(i + 1) % 5])],
  ["full", five.map((i) => five.filter((other) => other !== i))],
])("parted and healed a hundred times, a mesh of five (%s) agrees within five seconds", (_, graph) => {
  const { clock, random, cluster, close } = meshOf(2, { ...slowOdds, jitterMs: 20 }, graph);
  for (let round = 0; round < 100; round++) {
    cluster.partition(new Set(five.filter((i) => i !== round % 5 && random.chance(0.5))), 1500);
    for (let step = 0; step < 6; step++) {
      for (const member of cluster.members) if (random.chance(0.5)) cluster.write(member);
      clock.runUntil(clock.now + 250);
    }
    const healedAt = clock.now;
    while (cluster.oracle.difference() !== null && clock.now < healedAt + 5000)
      clock.runUntil(clock.now + 50);
    expect([round, cluster.oracle.violation ?? cluster.ledger.violation]).toEqual([round, null]);
    expect([round, cluster.oracle.difference()]).toEqual([round, null]);
  }
  close();
});
