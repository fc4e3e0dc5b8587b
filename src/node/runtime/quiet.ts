/** What anybody can bring about a thousand times a second is told once in a while. */
export class Quiet {
  readonly #ms: number;
  readonly #now: () => number;
  #brokenAt = Number.NEGATIVE_INFINITY;

  constructor(ms: number, now: () => number) {
    this.#ms = ms;
    this.#now = now;
  }

  /** Whether something may be told now; then nothing more for `ms`. */
  break(): boolean {
    const now = this.#now();
    if (now - this.#brokenAt < this.#ms) return false;
    this.#brokenAt = now;
    return true;
  }
}
