import type { Reading } from "./encoding.ts";

/** The commits that wait for one follower that wants every one of them, in order. */
export class Backlog {
  /** Where everything leads that was sent or waits; null while the next delta to begin is one that brings all there is. */
  tail: number | null = null;
  /** Memory that the waiting deltas may take. */
  bytes = 0;
  /** Those before `#first` are gone. */
  #waiting: (Reading | null)[] = [];
  #first = 0;

  push(reading: Reading): void {
    this.#waiting.push(reading);
    this.bytes += reading.encoding.memoryBytes;
    this.tail = reading.encoding.to;
  }

  shift(): Reading | null {
    const reading = this.#waiting[this.#first];
    if (!reading) return null;
    this.bytes -= reading.encoding.memoryBytes;
    this.#waiting[this.#first] = null;
    if (++this.#first >= 1024 && this.#first * 2 > this.#waiting.length) {
      this.#waiting = this.#waiting.slice(this.#first);
      this.#first = 0;
    }
    return reading;
  }

  /** Empties it, because the next delta to begin brings all there is; what waited is the caller's. */
  drain(): Reading[] {
    this.tail = null;
    const waiting = this.#waiting.slice(this.#first) as Reading[];
    this.#waiting = [];
    this.#first = 0;
    this.bytes = 0;
    return waiting;
  }
}
