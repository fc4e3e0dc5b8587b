import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type Fault, type Measure, reasonToSkip, Trial } from "./fault.ts";

/** One line of the table, and of the JSON file. */
export interface Result {
  readonly id: string;
  readonly fault: string;
  readonly injections: number;
  /** How many; `messages` has the first of them. */
  readonly violations: number;
  readonly figure: string;
  readonly skipped?: string;
  readonly messages: readonly string[];
  readonly measures: readonly Measure[];
  readonly seconds: number;
}

/** A folder in memory for a whole run, gone with it. */
export class Session implements Disposable {
  readonly folder = mkdtempSync("/dev/shm/memblast-faults-");
  readonly seed: number;

  constructor(seed: number) {
    this.seed = seed;
  }

  /** Runs one row for about `seconds`. Never throws: what is thrown inside is a violation. */
  async run(fault: Fault, seconds: number, say?: (text: string) => void): Promise<Result> {
    const skipped = reasonToSkip(fault);
    const base = { id: fault.id, fault: fault.name };
    if (skipped)
      return {
        ...base,
        injections: 0,
        violations: 0,
        figure: "",
        skipped,
        messages: [],
        measures: [],
        seconds: 0,
      };
    const trial = new Trial(join(this.folder, fault.id), seedOf(this.seed, fault.id), seconds, say);
    const start = performance.now();
    let figure = "";
    try {
      figure = await fault.run(trial);
    } catch (error) {
      trial.violate(error instanceof Error ? (error.stack ?? String(error)) : String(error));
    }
    checkLeftovers(trial);
    rmSync(trial.folder, { recursive: true, force: true });
    return {
      ...base,
      injections: trial.injections,
      violations: trial.violationCount,
      figure,
      messages: trial.violations,
      measures: trial.measures,
      seconds: (performance.now() - start) / 1000,
    };
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** The same dice for a row whether it runs alone or with all others. */
function seedOf(seed: number, id: string): number {
  return Number(Bun.hash.xxHash32(`${seed} ${id}`));
}

/** This process has nothing of the trial's folder open or mapped any more. */
function checkLeftovers(trial: Trial): void {
  const open = readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(trial.folder);
    } catch {
      return false; // the descriptor that read the folder
    }
  });
  if (open.length > 0) trial.violate(`${open.length} descriptors leak`);
  const mapped = readFileSync("/proc/self/maps", "utf8")
    .split("\n")
    .filter((line) => line.includes(trial.folder));
  if (mapped.length > 0) trial.violate(`${mapped.length} mappings leak`);
}
