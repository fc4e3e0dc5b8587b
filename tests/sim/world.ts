import { rmSync } from "node:fs";
import { placeOf } from "../../src/memory/place.ts";
import { forgetBounds, leftOver, overgrown } from "./bounds.ts";
import { Clock } from "./clock.ts";
import { Cluster } from "./cluster.ts";
import { type Fault, faults as allFaults } from "./faults.ts";
import { drawMaps, drawMesh, drawTree, type Layout, layouts } from "./layout.ts";
import type { Member } from "./member.ts";
import { Random } from "./random.ts";
import { spoilBy } from "./spoil.ts";
import { type Story, Trace } from "./trace.ts";
import { drawOdds, Weather } from "./weather.ts";

export interface Outcome {
  readonly seed: number;
  readonly layout: Layout;
  readonly violation: string | null;
  /** What happened, and how often. */
  readonly counts: Readonly<Record<string, number>>;
  /** Where it was asked for. */
  readonly story?: Story;
}

const stormMs = 4000;
/** What a network at rest may need for one commit, and longer than a dead link goes unnoticed. */
const settleMs = 2000;
/** Longest time that a healed network may need: two heartbeats, the longest wait, a full delta at the lowest rate. */
const calmMs = 60_000;

/** Clocks are at most so far apart that nodes of a mesh still believe each other. */
const wallJumpsMs = [10, 5000, 2_900_000];

const draw = { tree: drawTree, maps: drawMaps, mesh: drawMesh };

/** One world: a few nodes, a storm, calm, and then everybody must have what he follows. */
export function play(
  seed: number,
  faults: ReadonlySet<Fault> = new Set(allFaults),
  wanted: Layout | null = null,
  isTold = false,
): Outcome {
  const random = new Random(seed);
  const clock = new Clock();
  const trace = isTold ? new Trace(() => clock.now) : null;
  const weather = new Weather(drawOdds(random, faults), clock, random, trace);
  const cluster = new Cluster(`s${seed}-`, clock, random, weather);
  const drawn = random.pick(layouts);
  const layout = wanted ?? drawn;
  forgetBounds();
  spoilBy((delta) => weather.spoil(delta));
  try {
    draw[layout](cluster, random, weather.odds.restart > 0);
    for (const member of cluster.members) cluster.start(member);
    storm(cluster, clock, random);
    const calmBegins = clock.now;
    const difference = violationOf(cluster) ?? calm(cluster, clock);
    const healMs = clock.now - calmBegins;
    if (layout === "mesh" && difference === null) probe(cluster, clock, random);
    return outcome(seed, layout, cluster, clock, violationOf(cluster) ?? difference, healMs);
  } catch (error) {
    const text = `an error came through: ${(error as Error).stack ?? String(error)}`;
    return outcome(seed, layout, cluster, clock, text, 0);
  } finally {
    end(cluster, clock);
    spoilBy();
  }
}

function outcome(
  seed: number,
  layout: Layout,
  { oracle, weather, members }: Cluster,
  clock: Clock,
  violation: string | null,
  healMsMost: number,
): Outcome {
  const { updates, singles, overflows, mismatches } = oracle;
  const { now: virtualMs, jobs } = clock;
  const counts = { updates, singles, overflows, mismatches, virtualMs, jobs, healMsMost, ...weather.counts };
  const story = weather.trace?.storyOf(members.map(({ plan }) => plan));
  return { seed, layout, violation, counts, ...(story && { story }) };
}

function violationOf({ oracle, ledger }: Cluster): string | null {
  return oracle.violation ?? ledger.violation;
}

function storm(cluster: Cluster, clock: Clock, random: Random): void {
  const { weather, oracle, members } = cluster;
  const { odds } = weather;
  const stepMs = random.chance(0.05) ? 1 + random.below(9) : 10 + random.below(100);
  const happens = (perSecond: number) => perSecond > 0 && random.chance((perSecond * stepMs) / 1000);
  while (clock.now < stormMs && violationOf(cluster) === null) {
    clock.runUntil(clock.now + random.next() * 2 * stepMs);
    const victim = random.pick(members);
    for (const member of members)
      if (member === victim || !member.plan.mesh || (odds.areAlike && random.chance(0.3)))
        for (let i = random.below(4); i > 0; i--) cluster.write(member);
    if (happens(odds.cut)) cluster.cut();
    if (happens(odds.stall)) weather.stall(random.below(2000), random.chance(0.5) ? victim.index : null);
    if (happens(odds.partition)) cluster.partition(drawSide(members.length, random), random.below(3000));
    if (happens(odds.clock)) {
      weather.counts.clock++;
      victim.wallOffsetMs = (random.next() - 0.5) * random.pick(wallJumpsMs);
      weather.trace?.note(
        "clock",
        victim.index,
        `the time of day is off by ${victim.wallOffsetMs.toFixed(0)} ms`,
      );
    }
    if (happens(victim.plan.keeps ? odds.restart : odds.reboot)) restart(cluster, clock, random, victim);
    if (random.chance(0.1)) cluster.changeRate(victim);
    if (random.chance(0.2)) cluster.ledger.check(victim);
    oracle.checkExplained();
    const problem = random.chance(0.2) ? overgrown(cluster) : null;
    if (problem) oracle.violate(problem);
  }
}

function drawSide(members: number, random: Random): Set<number> {
  const side = new Set<number>();
  for (let index = 0; index < members; index++) if (random.chance(0.5)) side.add(index);
  return side;
}

function restart(cluster: Cluster, clock: Clock, random: Random, victim: Member): void {
  const { node, name, plan } = victim;
  if (!node) return;
  const versions = node.version[name]!;
  cluster.kill(victim);
  const { life } = victim;
  clock.schedule(1100 + random.below(1000), () => {
    if (victim.life !== life) return;
    // Often nobody reaches the new life before it has as many versions as the old one had.
    if (random.chance(0.5) && !cluster.weather.isCalm)
      cluster.partition(new Set([victim.index]), random.below(5000));
    cluster.start(victim);
    if (plan.parents.length > 0 || random.chance(0.5)) return;
    for (let i = versions + random.below(20); i > 0; i--) cluster.write(victim);
  });
}

function calm(cluster: Cluster, clock: Clock): string | null {
  cluster.calmDown();
  let difference: string | null = null;
  for (const end = clock.now + calmMs; clock.now < end;) {
    clock.runUntil(clock.now + 1000);
    difference = cluster.oracle.difference() ?? leftOver(cluster, clock.waiting);
    if (difference === null) return null;
  }
  return `after ${calmMs} ms of calm ${difference}`;
}

/**
 * One commit of a mesh at rest: every node makes one version of it, over no link does it go twice, and then nothing moves any more.
 */
function probe(cluster: Cluster, clock: Clock, random: Random): void {
  const { members, oracle, ledger } = cluster;
  for (const member of members) ledger.checkLatest(member);
  for (let waits = 0; waits < 10 && !isJoined(cluster); waits++) clock.runUntil(clock.now + 1000);
  if (!isJoined(cluster)) oracle.violate("after 10 s of calm not all links stand");
  clock.runUntil(clock.now + settleMs);
  const versions = () => members.map(({ node, name }) => node!.version[name]!);
  const before = { versions: versions(), deltas: deltasOf(cluster) };
  const writer = random.pick(members.filter(({ plan }) => plan.mesh));
  cluster.weather.trace?.note("write", writer.index, "the only one, in a mesh at rest");
  ledger.write(writer, () => writer.node!.write((a) => a.set(random.below(a.size), 5000)));
  oracle.record(writer);
  clock.runUntil(clock.now + settleMs);
  const after = { versions: versions(), deltas: deltasOf(cluster) };
  for (const [index, version] of after.versions.entries())
    if (version !== before.versions[index]! + 1)
      oracle.violate(
        `one commit of n${writer.index} made ${version - before.versions[index]!} versions of n${index}`,
      );
  const links = members.reduce((sum, { plan }) => sum + plan.parents.length, 0);
  const deltas = after.deltas - before.deltas;
  if (deltas > links) oracle.violate(`one commit took ${deltas} deltas on ${links} links`);
  clock.runUntil(clock.now + settleMs);
  if (deltasOf(cluster) !== after.deltas)
    oracle.violate("deltas go round in a mesh in which nothing is written");
  for (const member of members) ledger.checkLatest(member);
  const difference = oracle.difference();
  if (difference) oracle.violate(`after one more commit ${difference}`);
}

function isJoined({ members }: Cluster): boolean {
  return members.every(({ node }) => node!.stats().links.every((link) => link.connected));
}

/** Deltas sent so far, by all links that there are. */
function deltasOf({ members }: Cluster): number {
  let deltas = 0;
  for (const { node } of members)
    for (const link of node!.stats().links) if (link.direction === "in") deltas += link.deltas;
  return deltas;
}

function end(cluster: Cluster, clock: Clock): void {
  for (const member of cluster.members) void member.node?.close();
  clock.runUntil(clock.now + 5000);
  for (const { name, plan } of cluster.members) {
    if (!plan.keeps) continue;
    const { data, lock } = placeOf(name);
    for (const path of [data, lock]) rmSync(path, { force: true });
  }
}
