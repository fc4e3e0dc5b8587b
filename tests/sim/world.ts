import { Clock } from "./clock.ts";
import { Cluster } from "./cluster.ts";
import { Random } from "./random.ts";
import { drawOdds, Weather } from "./weather.ts";

export interface Outcome {
  readonly seed: number;
  readonly violation: string | null;
  readonly virtualMs: number;
  readonly updates: number;
  readonly flips: number;
  readonly mismatches: number;
  readonly singles: number;
  readonly overflows: number;
  readonly jobs: number;
}

const stormMs = 6000;
/** Longest time that a healed network may need: two heartbeats, the longest wait, a full delta through the narrowest wire. */
const calmMs = 60_000;
/** A delta under way, its frames' heads, and control frames. */
const queuedBytesMax = 1 << 20;

/** One world: a few nodes, a storm, calm, and then everybody must have what he follows. */
export function play(seed: number): Outcome {
  const random = new Random(seed);
  const clock = new Clock();
  const weather = new Weather(drawOdds(random), clock, random);
  const cluster = new Cluster(clock, random, weather);
  const outcome = (violation: string | null): Outcome => ({
    seed,
    violation,
    virtualMs: clock.now,
    updates: cluster.updates,
    flips: weather.flips,
    mismatches: cluster.mismatches,
    singles: cluster.singles,
    overflows: cluster.overflows,
    jobs: clock.jobs,
  });
  try {
    const count = 2 + random.below(4);
    for (let i = 0; i < count; i++) {
      const mode = random.chance(0.3) ? "every" : "latest";
      const secret = random.chance(0.3) ? `the secret of node ${i}` : null;
      cluster.add(i === 0 ? null : random.below(i), random.chance(0.5), mode, secret);
    }
    storm(cluster, clock, random);
    const difference = calm(cluster, clock);
    return outcome(cluster.violation ?? difference);
  } catch (error) {
    return outcome(`an error came through: ${(error as Error).stack ?? String(error)}`);
  } finally {
    for (const member of cluster.members) void member.node?.close();
    clock.runUntil(clock.now + 5000);
  }
}

function storm(cluster: Cluster, clock: Clock, random: Random): void {
  const { odds } = cluster.weather;
  const stepMs = 1 + random.below(100);
  const happens = (perSecond: number) => random.chance((perSecond * stepMs) / 1000);
  while (clock.now < stormMs && cluster.violation === null) {
    clock.runUntil(clock.now + random.next() * 2 * stepMs);
    for (let i = random.below(4); i > 0; i--) cluster.write(cluster.members[0]!);
    const victim = random.pick(cluster.members);
    if (happens(odds.cut)) random.pick([...cluster.network.pairs])?.cut();
    if (happens(odds.stall)) cluster.weather.stall(random.below(2000));
    if (happens(odds.partition)) cluster.partition(victim, random.below(3000));
    if (happens(odds.clockJump)) victim.clockOffset += random.below(3000);
    if (happens(odds.restart)) restart(cluster, clock, random);
    cluster.checkExplained();
    const { waitingBytes } = cluster;
    if (waitingBytes > odds.queueBytes)
      cluster.violation ??= `${waitingBytes} bytes of commits wait, above ${odds.queueBytes}`;
    if (cluster.queuedBytes > queuedBytesMax)
      cluster.violation ??= `${cluster.queuedBytes} bytes wait for one follower`;
  }
}

function restart(cluster: Cluster, clock: Clock, random: Random): void {
  const victim = random.pick(cluster.members);
  if (!victim.node) return;
  const versions = victim.node.version[victim.node.name]!;
  cluster.kill(victim);
  const { life } = victim;
  clock.schedule(1100 + random.below(1000), () => {
    if (victim.life !== life) return;
    // Often nobody reaches the new life before it has as many versions as the old one had.
    if (random.chance(0.5)) cluster.partition(victim, random.below(5000));
    cluster.start(victim);
    if (victim.parent !== null || random.chance(0.5)) return;
    for (let i = versions + random.below(20); i > 0; i--) cluster.write(victim);
  });
}

function calm(cluster: Cluster, clock: Clock): string | null {
  cluster.weather.isCalm = true;
  cluster.heal();
  let difference: string | null = null;
  for (const end = clock.now + calmMs; clock.now < end;) {
    clock.runUntil(clock.now + 1000);
    difference = cluster.difference();
    if (difference === null) return null;
  }
  return `after ${calmMs} ms of calm ${difference}`;
}
