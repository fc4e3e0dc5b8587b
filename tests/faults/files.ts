/** F13, F23: files cut short, and taken away, under the processes that have them mapped. */
import { renameSync, rmSync, truncateSync } from "node:fs";
import { amount, type Fault, ms, type Trial } from "./fault.ts";
import { bunChild, Companion, howItEnded } from "./programs.ts";
import { Puppet } from "./puppet.ts";

const truncationsWanted = 1000;
/** Bytes of the array in children/truncated.ts: a cut below leaves no image whole. */
const imageBytes = 128 * 1024;

const truncated: Fault = {
  id: "F13",
  name: "truncation while processes read and write",
  seconds: 15,
  async run(trial) {
    const detect: number[] = [];
    await using victim = new Companion(trial, bunChild("truncated"));
    let cuts = 0;
    for (; trial.more(cuts, truncationsWanted); cuts++) {
      const name = `cut-${cuts}`;
      const ready = await victim.ask(`${name} ${cuts % 4 === 0 ? "watch" : ""}`);
      if (ready !== "ready") {
        trial.violate(`cut ${cuts}: ${ready ?? howItEnded(await victim.ended())}`);
        break;
      }
      await Bun.sleep(trial.random.between(0, 2));
      const lengths = [0, 4096, imageBytes, trial.random.between(0, imageBytes), 8192];
      truncateSync(trial.path(name), lengths[trial.random.between(0, lengths.length - 1)]!);
      const start = performance.now();
      const answer = await victim.hear();
      detect.push(performance.now() - start);
      if (answer !== "TRUNCATED TRUNCATED")
        trial.violate(`cut ${cuts}: ${answer ?? howItEnded(await victim.ended())}`);
      if (answer === null) break;
      for (const file of [name, `${name}.lock`]) rmSync(trial.path(file), { force: true });
    }
    trial.injections += cuts;
    const ended = await victim.end();
    if (ended.status !== 0) trial.violate(`the process ${howItEnded(ended)}`);
    detect.sort((a, b) => a - b);
    return (
      `${amount(cuts, truncationsWanted)} truncations, crashes ${ended.status === 0 ? 0 : 1}; ` +
      `both sides told after p50 ${ms(detect[detect.length >> 1])}, max ${ms(detect.at(-1))}`
    );
  },
};

type Removal = "both" | "data" | "lock" | "renamed";
const removals: readonly Removal[] = ["both", "data", "lock", "renamed"];

function remove(trial: Trial, name: string, removal: Removal): void {
  const [data, lock] = [trial.path(name), trial.path(`${name}.lock`)];
  if (removal === "renamed") renameSync(data, `${data}-away`);
  if (removal === "both" || removal === "data") rmSync(data);
  if (removal === "both" || removal === "lock" || removal === "renamed") rmSync(lock);
}

/** How many times the first owner may still write before it has to notice. */
const blindWritesMax = 3;

/**
 * The first owner's file is taken away, and a second owner starts under the same name. They never write the same memory; whoever
 * opens the name finds the second's world only; the first is told that it has lost its name.
 */
async function replaced(trial: Trial, name: string, removal: Removal, first: Puppet, second: Puppet) {
  const complain = (text: string) => trial.violate(`${removal} removed: ${text}`);
  const before = await first.tell<string>(`start ${name}`);
  await first.tell("write 1");
  remove(trial, name, removal);
  const taken = await second.ask(`start ${name}`);
  let told: string | undefined;
  for (let i = 0; i < blindWritesMax && !told; i++) told = (await first.ask(`write ${10 + i}`)).code;
  if (taken.code === undefined) {
    if (taken.value === before) complain("two owners write the same segment");
    else if (told !== "STALE" && removal !== "renamed")
      complain(`the owner of the old file ${told ? `got ${told}` : "writes on"}`);
    const seen = await second.tell("read");
    if (seen !== 0) complain(`the second owner reads ${JSON.stringify(seen)}, which it never wrote`);
    await second.tell("write 7");
    const old = await first.ask("read");
    if (old.value === 7) complain("the first owner sees what the second wrote");
  } else if (
    removal === "lock"
      ? taken.code !== "UNSAFE_FILE"
      : !["EXISTS", "LOCKED", "NOT_FOUND"].includes(taken.code)
  ) {
    complain(`the second owner got ${taken.code}`);
  }
  await first.tell("close");
  await second.tell("close");
  for (const file of [name, `${name}.lock`, `${name}-away`]) rmSync(trial.path(file), { force: true });
}

const replacedWanted = 100;

const unlinked: Fault = {
  id: "F23",
  name: "unlink and recreate under attached processes",
  seconds: 4,
  async run(trial) {
    await using first = await Puppet.open(trial);
    await using second = await Puppet.open(trial);
    let rounds = 0;
    for (; trial.more(rounds, replacedWanted) || rounds < removals.length; rounds++)
      await replaced(trial, `name-${rounds}`, removals[rounds % removals.length]!, first, second);
    trial.injections += rounds;
    return `${amount(rounds, replacedWanted)} replacements (${removals.join(", ")}); split worlds ${trial.violationCount}`;
  },
};

export const files: readonly Fault[] = [truncated, unlinked];
