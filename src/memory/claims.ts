import { check } from "./failure.ts";
import { library } from "./library.ts";
import type { LockFile } from "./lock.ts";

const EAGAIN = -11;
const EACCES = -13;

/** So many stretches are claimed at most: the kernel walks through a list of them. */
export const claimsMax = 4096;

/**
 * Bytes of a segment's image that one of its many writers alone writes. They are locks on ranges of the lock file, so that all others can
 * see them, no two can have the same, and they end with their holder.
 */
export class Claims {
  readonly #lock: LockFile;
  readonly #imageBytes: number;
  /** Pairs of offset and length. */
  #runs = new Float64Array(0);
  readonly #found = new Float64Array(2);

  constructor(lock: LockFile, imageBytes: number) {
    this.#lock = lock;
    this.#imageBytes = imageBytes;
  }

  /**
   * Claims these bytes (sorted pairs of offset and length) and lets go of all others. Returns the offset of one that somebody else has
   * claimed, and then has claimed none; null: it has them. More than {@link claimsMax} stretches are not claimed.
   */
  set(runs: Float64Array): number | null {
    this.#release();
    if (runs.length > 2 * claimsMax) return null;
    this.#runs = runs.slice();
    for (let i = 0; i < runs.length; i += 2) {
      if (this.#claim(runs[i]!, runs[i + 1]!, true)) continue;
      this.#release();
      return this.elsewhere(runs[i]!, runs[i + 1]!)[0] ?? runs[i]!;
    }
    return null;
  }

  #release(): void {
    if (this.#runs.length > 0) this.#claim(0, this.#imageBytes, false);
    this.#runs = new Float64Array(0);
  }

  #claim(offset: number, bytes: number, take: boolean): boolean {
    const result = library.lockClaim(this.#lock.fd, offset, bytes, take ? 1 : 0);
    if (result === EAGAIN || result === EACCES) return false;
    check(result, "claim a part of a segment");
    return true;
  }

  /** What others have claimed of the bytes from `offset` on: sorted pairs. */
  elsewhere(offset = 0, bytes = this.#imageBytes): number[] {
    const found = library.lockClaimed(this.#lock.fd, offset, bytes, this.#found);
    if (check(found, "look at what others have claimed") === 0) return [];
    const [low, length] = this.#found as unknown as [number, number];
    const before = low > offset ? this.elsewhere(offset, low - offset) : [];
    const [after, end] = [low + length, offset + bytes];
    return [...before, low, length, ...(end > after ? this.elsewhere(after, end - after) : [])];
  }
}
