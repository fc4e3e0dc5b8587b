import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { Random } from "../transport/random.ts";
import { lacking, type Need } from "./machine.ts";

/** One row of the catalogue. */
export interface Fault {
  /** As in the catalogue: F01. */
  readonly id: string;
  readonly name: string;
  /** Seconds that the full amount takes on a small machine: its part of a budget. */
  readonly seconds: number;
  /** It goes on for as long as it may; without a budget, for `seconds`. */
  readonly isEndless?: boolean;
  /** Seconds that it gets in `bun test`, where it needs more than most to show anything. */
  readonly briefly?: number;
  /** What the machine must have; without it the row is skipped with the reason. */
  readonly needs?: readonly Need[];
  /** Why it is not tried on any machine. */
  readonly skipped?: string;
  /** Tries it until the full amount or the time is reached; counts and complains in `trial`. Returns the figure to report. */
  run(trial: Trial): Promise<string>;
}

/** Why a row cannot be tried here; null: it can. */
export function reasonToSkip(fault: Fault): string | null {
  return fault.skipped ?? lacking(fault.needs ?? []);
}

/** A figure that one of the hazards N1 to N29 asks for. */
export interface Measure {
  readonly hazard: string;
  readonly text: string;
  /** Whether it is what the catalogue accepts; null: it was not tried as far as that asks. */
  readonly met: boolean | null;
}

const messagesMax = 20;

/** One run of one row: its folder, its dice, its time, and what came of it. */
export class Trial {
  readonly random: Random;
  readonly violations: string[] = [];
  violationCount = 0;
  injections = 0;
  /** A folder of its own in memory, empty at first; what is left in it at the end is a violation. */
  readonly folder: string;
  readonly seed: number;
  readonly measures: Measure[] = [];
  /** Tells whoever waits how far it is. */
  readonly say: (text: string) => void;
  #deadline: number;

  constructor(folder: string, seed: number, seconds: number, say: (text: string) => void = () => {}) {
    this.folder = folder;
    this.say = say;
    this.seed = seed >>> 0 || 1;
    this.random = new Random(this.seed);
    this.#deadline = performance.now() + seconds * 1000;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  }

  get secondsLeft(): number {
    return (this.#deadline - performance.now()) / 1000;
  }

  /** Gives `attempt` a part of the time that is left: the rest is for those after it. */
  async part<R>(share: number, attempt: () => Promise<R>): Promise<R> {
    const whole = this.#deadline;
    this.#deadline = performance.now() + Math.max(0, share * (whole - performance.now()));
    try {
      return await attempt();
    } finally {
      this.#deadline = whole;
    }
  }

  /** Whether to go on after `done` of `wanted`. Once at least. */
  more(done: number, wanted: number): boolean {
    return done < wanted && (done === 0 || this.secondsLeft > 0);
  }

  violate(text: string): void {
    this.violationCount++;
    if (this.violations.length < messagesMax && !this.violations.includes(text)) this.violations.push(text);
  }

  /** Notes a figure for the table of hazards. */
  measure(hazard: string, text: string, met: boolean | null): void {
    this.measures.push({ hazard, text, met });
  }

  /** The path of a segment in this trial's folder. */
  path(name: string): string {
    return join(this.folder, name);
  }
}

/** "9,120 of 10,000" where the time was too short for all, else "10,000". */
export function amount(done: number, wanted: number): string {
  return done >= wanted ? count(done) : `${count(done)} of ${count(wanted)}`;
}

export function count(n: number): string {
  return Math.round(n).toLocaleString("en-US");
}

/** Milliseconds with two digits that count. */
export function ms(value: number | undefined): string {
  return value === undefined ? "-" : `${value >= 10 ? value.toFixed(0) : value.toPrecision(2)} ms`;
}

/** The value below which the share `q` of them lies; 0 where there are none. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? 0;
}

export function mib(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
