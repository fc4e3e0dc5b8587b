/** Chosen by `SEED=n bun test`; test names carry it. */
export const seed = Number(process.env["SEED"] ?? 20_261_123) >>> 0;

/** Marsaglia's xorshift, 32 bits. */
export class Random {
  #state: number;

  constructor(start = seed) {
    this.#state = start >>> 0 || 1;
  }

  next(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x >>> 0;
    return this.#state;
  }

  /** From `min` to `max`, both possible. */
  between(min: number, max: number): number {
    return min + (this.next() % (max - min + 1));
  }

  bytes(count: number): Uint8Array {
    const words = new Uint32Array(Math.ceil(count / 4));
    for (let i = 0; i < words.length; i++) words[i] = this.next();
    return new Uint8Array(words.buffer, 0, count);
  }
}
