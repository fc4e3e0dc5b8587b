/** F08, F09, F10, F12: who holds the lock, for how long, and who must not. */
import { rmSync } from "node:fs";
import { MemblastError } from "../../src/errors.ts";
import { Segment } from "../../src/memory/segment.ts";
import { drive } from "./driver.ts";
import { amount, type Fault, ms, type Trial } from "./fault.ts";
import { bunChild, howItEnded, run } from "./programs.ts";
import { Puppet } from "./puppet.ts";

/** Whether somebody can become the writer of `name` now; null: it is not for lack of a lock that not. */
function takeLock(trial: Trial, name: string): boolean | null {
  try {
    Segment.attach(trial.path(name), { mode: "rw" }).close();
    return true;
  } catch (error) {
    if (error instanceof MemblastError && error.code === "LOCKED") return false;
    trial.violate(`taking the lock of ${name}: ${error}`);
    return null;
  }
}

/** Milliseconds until the lock is free; Infinity after 10 seconds. */
async function untilFree(trial: Trial, name: string): Promise<number> {
  const start = performance.now();
  while (takeLock(trial, name) === false) {
    if (performance.now() - start > 10_000) return Infinity;
    await Bun.sleep(0.2);
  }
  return performance.now() - start;
}

const heirsWanted = 200;

const heirs: Fault = {
  id: "F10",
  name: "a child of the holder outlives it",
  seconds: 4,
  needs: ["compiler"],
  async run(trial) {
    const found = await trial.part(0.7, () => drive(trial, "heirs", { amount: heirsWanted }));
    trial.injections += found["rounds"] ?? 0;
    await using holder = await Puppet.open(trial);
    await holder.tell('start heir 512 {"persist":true}');
    const heir = await holder.tell<number>("heir");
    await holder.kill();
    const waited = await untilFree(trial, "heir");
    process.kill(heir, "SIGKILL");
    if (waited === Infinity) trial.violate("a program started by Bun keeps the lock of its dead parent");
    trial.injections++;
    return (
      `${amount(found["rounds"] ?? 0, heirsWanted)} holders with children: lock free after p50 ${ms(found["freed_p50"])}, max ${ms(found["freed_max"])} ` +
      `(Bun.spawn: ${ms(waited)}); bare forks keep it until they end (${found["kept_by_copies"]})`
    );
  },
};

const cyclesWanted = 2000;

const reopened: Fault = {
  id: "F12",
  name: "the holder opens and closes the same file again",
  seconds: 2,
  async run(trial) {
    await using holder = await Puppet.open(trial);
    await holder.tell("start again");
    let cycles = 0;
    let lost = 0;
    const step = 50;
    for (; trial.more(cycles, cyclesWanted); cycles += step) {
      await holder.tell(`cycle ${step}`);
      if (takeLock(trial, "again") !== false) lost++;
      await holder.tell(`write ${cycles}`);
    }
    if (lost > 0) trial.violate(`the lock was lost ${lost} times`);
    trial.injections += cycles;
    await holder.tell("close");
    return `${amount(cycles, cyclesWanted)} openings and closings, lock lost ${lost}`;
  },
};

const workersWanted = 100;

/** What children/terminate.ts prints. */
interface Terminated {
  readonly rounds: number;
  readonly stuck: number;
  readonly ms: readonly number[];
  readonly grown: string | null;
  readonly left: number;
}

const terminated: Fault = {
  id: "F09",
  name: "a Worker terminated with the lock",
  seconds: 6,
  async run(trial) {
    const seconds = Math.max(0.5, Math.min(60, trial.secondsLeft));
    const ended = await run(trial, bunChild("terminate", trial.path("worker"), workersWanted, seconds));
    if (ended.status !== 0) throw new Error(`the process ${howItEnded(ended)}`);
    const { rounds, stuck, ms: waits, grown, left } = JSON.parse(ended.stdout) as Terminated;
    trial.injections += rounds;
    if (stuck > 0) trial.violate(`${stuck} of ${rounds} terminated Workers keep the lock`);
    if (grown) trial.violate(grown);
    if (left > 0) trial.violate(`${left} mappings leak`);
    const sorted = waits.toSorted((a, b) => a - b);
    for (const file of ["worker", "worker.lock"]) rmSync(trial.path(file), { force: true });
    return `${amount(rounds, workersWanted)} Workers, lock free after p50 ${ms(sorted[sorted.length >> 1])}, max ${ms(sorted.at(-1))}`;
  },
};

export const locks: readonly Fault[] = [terminated, heirs, reopened];
