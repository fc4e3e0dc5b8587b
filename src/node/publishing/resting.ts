import type { Encoding } from "./encoding.ts";

interface Entry {
  readonly bytes: number;
  /** Takes it away from whoever would hand it out. */
  forget(): void;
}

/**
 * The deltas to the newest version that nobody reads, of all feeds together: they stay for whoever asks for them next, until it is too
 * much, the oldest first, or until there is a newer version.
 */
export class Resting {
  readonly #bytesMax: number;
  readonly #entries = new Map<Encoding, Entry>();
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** The newest stays, however large it is: somebody may be about to read it. */
  add(encoding: Encoding, forget: () => void): void {
    this.delete(encoding);
    const bytes = encoding.restingBytes;
    this.#entries.set(encoding, { bytes, forget });
    this.#bytes += bytes;
    for (const [oldest, entry] of this.#entries) {
      if (this.#bytes <= this.#bytesMax || oldest === encoding) return;
      this.delete(oldest);
      entry.forget();
    }
  }

  /** Somebody reads it, or nobody will. */
  delete(encoding: Encoding): void {
    this.#bytes -= this.#entries.get(encoding)?.bytes ?? 0;
    this.#entries.delete(encoding);
  }

  /** There will be a newer version. */
  clear(): void {
    if (this.#entries.size === 0) return;
    for (const { forget } of this.#entries.values()) forget();
    this.#entries.clear();
    this.#bytes = 0;
  }
}
