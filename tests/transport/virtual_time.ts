import type { Scheduler } from "../../src/transport/flight.ts";

interface Job {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

/** A clock that moves only when it is run: jobs in the order of their moments, then of their scheduling. */
export class VirtualTime implements Scheduler {
  now = 0;
  #jobs: Job[] = [];
  #scheduled = 0;

  schedule(delayMs: number, job: () => void): () => void {
    const entry = { at: this.now + delayMs, order: this.#scheduled++, run: job };
    this.#jobs.push(entry);
    return () => {
      this.#jobs = this.#jobs.filter((other) => other !== entry);
    };
  }

  /** Runs what is due until the moment, or until nothing is left. */
  run(untilMs = Number.POSITIVE_INFINITY): void {
    for (;;) {
      const next = this.#jobs.reduce<Job | null>((a, b) => (a && isBefore(a, b) ? a : b), null);
      if (!next || next.at > untilMs) break;
      this.#jobs.splice(this.#jobs.indexOf(next), 1);
      this.now = next.at;
      next.run();
    }
    if (untilMs !== Number.POSITIVE_INFINITY) this.now = untilMs;
  }
}

function isBefore(a: Job, b: Job): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
