/** F08: many writers at once, one of them standing still, one of them dying. */
import { attach } from "../../src/index.ts";
import { drive } from "./driver.ts";
import { amount, count, type Fault, ms, type Trial } from "./fault.ts";
import { bunChild, Companion, howItEnded } from "./programs.ts";
import { Puppet } from "./puppet.ts";

const writers = 8;
/** The least served gets half of what the most served gets. */
const fairnessMin = 0.5;

interface Contention {
  readonly commits: number;
  readonly ratio: number;
  readonly worstMs: number;
}

/** Eight processes commit as fast as they may. Every commit counts, and everybody gets a share. */
async function contend(trial: Trial, windowMs: number): Promise<Contention> {
  const children = Array.from(
    { length: writers },
    (_, i) => new Companion(trial, bunChild("contend", "contended", i, windowMs)),
  );
  try {
    for (const child of children)
      if ((await child.hear()) !== "ready") throw new Error(`a writer ${howItEnded(await child.ended())}`);
    for (const child of children) child.say("go");
    const results: { commits: number; worstMs: number }[] = [];
    for (const child of children) {
      const line = await child.hear();
      if (line === null) throw new Error(`a writer ${howItEnded(await child.ended())}`);
      results.push(JSON.parse(line) as (typeof results)[number]);
    }
    const served = results.map(({ commits }) => commits);
    const commits = served.reduce((sum, each) => sum + each, 0);
    await checkCounts(trial, served, commits);
    const worstMs = Math.max(...results.map((result) => result.worstMs));
    return { commits, ratio: Math.min(...served) / Math.max(...served), worstMs };
  } finally {
    for (const child of children) await child.kill();
  }
}

async function checkCounts(trial: Trial, served: readonly number[], commits: number): Promise<void> {
  await using node = await attach(trial.path("contended"));
  const cells = node.read((all) => all.toArray()) as number[];
  const version = node.version[node.name];
  if (cells[0] !== commits || version !== commits)
    trial.violate(`${commits} commits made ${cells[0]} of the count and version ${version}`);
  for (const [i, each] of served.entries())
    if (cells[1 + i] !== each)
      trial.violate(`writer ${i} committed ${each} times, and ${cells[1 + i]} are there`);
}

/** One stops inside of a write: the others are told who, and get on when it is dead. What it had begun is not there. */
async function stand(trial: Trial): Promise<void> {
  await using first = await Puppet.open(trial);
  await using second = await Puppet.open(trial);
  const options = '{"writers":"many","ifExists":"attach","lockTimeoutMs":100}';
  await first.tell(`start standing 64 ${options}`);
  await second.tell(`start standing 64 ${options}`);
  await second.tell("write 5");
  await first.tell("hold 60000");
  first.signal("SIGSTOP");
  const refused = await second.ask("write 6");
  if (refused.code !== "LOCKED")
    trial.violate(`beside a stopped writer a write gives ${JSON.stringify(refused)}`);
  else if (!refused.message?.includes(String(first.pid)))
    trial.violate(`the error does not name the holder ${first.pid}: ${refused.message}`);
  const seen = await second.tell("read");
  if (seen !== 5) trial.violate(`beside a stopped writer a read gives ${JSON.stringify(seen)}`);
  await first.kill();
  const after = await second.ask("write 7");
  if (after.code) trial.violate(`when it is dead a write gives ${after.code}: ${after.message}`);
  const last = await second.tell("read");
  if (last !== 7) trial.violate(`when it is dead a read gives ${JSON.stringify(last)}`);
  await second.tell("close");
  trial.injections++;
}

const killsWanted = 2000;

const contention: Fault = {
  id: "F08",
  name: "8 writers contend; some stop, some are killed",
  seconds: 15,
  needs: ["compiler"],
  async run(trial) {
    const killed = await trial.part(0.5, () => drive(trial, "many-kills", { amount: killsWanted }));
    const kills = killed["kills"] ?? 0;
    await stand(trial);
    const windowMs = Math.round(Math.max(300, Math.min(5000, trial.secondsLeft * 700)));
    const { commits, ratio, worstMs } = await contend(trial, windowMs);
    trial.injections += kills + writers;
    if (ratio < fairnessMin && windowMs >= 2000)
      trial.violate(`the least served has ${ratio.toFixed(2)} of the most served`);
    return (
      `${count(commits)} commits in ${windowMs} ms, least/most served ${ratio.toFixed(2)}, longest wait ${ms(worstMs)}; ` +
      `${amount(kills, killsWanted)} of 4 contending killed at random, next turn after p99 ${ms(killed["turn_p99"])}`
    );
  },
};

export const contentions: readonly Fault[] = [contention];
