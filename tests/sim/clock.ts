import { drainMicrotasks } from "bun:jsc";
import type { Scheduler } from "../../src/transport/flight.ts";

interface Job {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
  isOff: boolean;
}

/** Moments are rounded up to these, so that a timer never rings before its deadline by a rounding error. */
const ticksPerMs = 1024;

/** Virtual time: a heap of jobs, run in the order of their moments and then of their scheduling, promises settled in between. */
export class Clock implements Scheduler {
  now = 0;
  jobs = 0;
  readonly #heap: Job[] = [];

  /** Jobs that wait, called off or not. */
  get waiting(): number {
    return this.#heap.length;
  }

  schedule(delayMs: number, run: () => void): () => void {
    const at = Math.ceil((this.now + Math.max(0, delayMs)) * ticksPerMs) / ticksPerMs;
    const job: Job = { at, order: this.jobs++, run, isOff: false };
    this.#push(job);
    return () => void (job.isOff = true);
  }

  runUntil(until: number): void {
    const ms = Math.ceil(until * ticksPerMs) / ticksPerMs;
    drainMicrotasks();
    for (let job = this.#heap[0]; job && job.at <= ms; job = this.#heap[0]) {
      this.#pop();
      if (job.isOff) continue;
      this.now = job.at;
      job.run();
      drainMicrotasks();
    }
    this.now = ms;
  }

  #push(job: Job): void {
    const heap = this.#heap;
    let at = heap.push(job) - 1;
    for (let up = (at - 1) >> 1; at > 0 && isBefore(job, heap[up]!); up = (at - 1) >> 1) {
      heap[at] = heap[up]!;
      at = up;
    }
    heap[at] = job;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let down = 2 * at + 1;
      if (down >= heap.length) break;
      if (down + 1 < heap.length && isBefore(heap[down + 1]!, heap[down]!)) down++;
      if (!isBefore(heap[down]!, last)) break;
      heap[at] = heap[down]!;
      at = down;
    }
    heap[at] = last;
  }
}

function isBefore(a: Job, b: Job): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
