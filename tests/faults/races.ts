/** F22, F24: several processes that create, remove and open the same name at once. */
import { readdirSync } from "node:fs";
import { clean } from "../../src/index.ts";
import { drive } from "./driver.ts";
import { amount, count, type Fault, type Trial } from "./fault.ts";
import { bunChild, Companion, howItEnded } from "./programs.ts";

const roundsWanted = 1500;
const racers = 4;

/** What a racer says of one round: "created", "attached", or what went wrong. */
async function raceInBun(trial: Trial, wanted: number): Promise<{ rounds: number; created: number }> {
  const children = Array.from({ length: racers }, () => new Companion(trial, bunChild("race")));
  let rounds = 0;
  let created = 0;
  try {
    for (; trial.more(rounds, wanted); rounds++) {
      const answers = await Promise.all(children.map((child) => child.ask(`open race-${rounds}`)));
      const creators = answers.filter((answer) => answer === "created").length;
      created += creators;
      if (creators !== 1) trial.violate(`round ${rounds}: ${creators} creators`);
      for (const answer of answers)
        if (answer !== "created" && answer !== "attached") trial.violate(`round ${rounds}: ${answer}`);
      if (answers.includes(null)) break;
      await Promise.all(children.map((child) => child.ask("close")));
    }
    for (const child of children) {
      const ended = await child.end();
      if (ended.status !== 0) trial.violate(`a racer ${howItEnded(ended)}`);
    }
  } finally {
    for (const child of children) await child.kill();
  }
  return { rounds, created };
}

const creation: Fault = {
  id: "F22",
  name: "4 processes create one segment at once",
  seconds: 8,
  needs: ["compiler"],
  async run(trial) {
    const found = await trial.part(0.5, () => drive(trial, "creation", { amount: roundsWanted }));
    const bun = await raceInBun(trial, roundsWanted);
    trial.injections += racers * ((found["rounds"] ?? 0) + bun.rounds);
    return (
      `${racers} x ${amount(found["rounds"] ?? 0, roundsWanted)} in C with ${count(found["killed"] ?? 0)} killed on the way, ` +
      `${racers} x ${amount(bun.rounds, roundsWanted)} in Bun; one creator in each, partial headers ${trial.violationCount}`
    );
  },
};

const removalsWanted = 1000;

/** What children/come_and_go.ts prints. */
interface CameAndWent {
  readonly opened: number;
  readonly refused: number;
  readonly removed: number;
  /** Files that were gone although this process had them open. */
  readonly wrong: number;
  readonly failures: readonly string[];
}

/** Users and cleaners at once for a while; one more user is killed and started anew all the time, so that there is what to clean. */
async function comeAndGo(trial: Trial, windowMs: number): Promise<{ parts: CameAndWent[]; kills: number }> {
  const program = (role: string, i: number) =>
    bunChild("come_and_go", role, trial.folder, trial.seed + i, windowMs);
  const roles = ["user", "user", "user", "cleaner", "cleaner"];
  const children = roles.map((role, i) => new Companion(trial, program(role, i)));
  const parts: CameAndWent[] = [];
  let kills = 0;
  try {
    for (const child of children) await child.hear();
    for (const child of children) child.say("go");
    const end = performance.now() + windowMs;
    while (performance.now() < end) {
      await using victim = new Companion(trial, program("user", ++kills + 10));
      await victim.hear();
      victim.say("go");
      await Bun.sleep(trial.random.between(1, 10));
    }
    for (const child of children) {
      const line = await child.hear();
      if (line === null) trial.violate(`a process ${howItEnded(await child.ended())}`);
      else parts.push(JSON.parse(line) as CameAndWent);
    }
  } finally {
    for (const child of children) await child.kill();
  }
  return { parts, kills };
}

const cleaning: Fault = {
  id: "F24",
  name: "clean() beside those who open, use and close",
  seconds: 10,
  async run(trial) {
    const total = { opened: 0, refused: 0, removed: 0, wrong: 0, kills: 0 };
    while (trial.more(total.removed, removalsWanted)) {
      const windowMs = Math.round(Math.min(2000, Math.max(300, trial.secondsLeft * 1000 - 200)));
      const { parts, kills } = await comeAndGo(trial, windowMs);
      total.kills += kills;
      for (const part of parts) {
        total.opened += part.opened;
        total.refused += part.refused;
        total.removed += part.removed;
        total.wrong += part.wrong;
        for (const failure of part.failures) trial.violate(failure);
      }
      if (trial.violationCount > 0) break;
    }
    if (total.wrong > 0)
      trial.violate(`${total.wrong} times a file was removed under a process that had it open`);
    clean({ directory: trial.folder, persistent: true });
    const left = readdirSync(trial.folder);
    if (left.length > 0) trial.violate(`clean() leaves ${left.join(" ")}`);
    trial.injections += total.removed;
    return (
      `${amount(total.removed, removalsWanted)} removals beside ${count(total.opened)} openings and ${count(total.kills)} kills; ` +
      `wrong removals ${total.wrong}`
    );
  },
};

export const races: readonly Fault[] = [creation, cleaning];
