import { unlinkSync } from "node:fs";
import { fail } from "../errors.ts";
import { check } from "./failure.ts";
import { cString, library } from "./library.ts";
import type { Place } from "./place.ts";

const EAGAIN = -11;
const EACCES = -13;

/** What the bytes of a lock file stand for. */
const writerByte = 0;
const userByte = 1;

/**
 * The lock file beside a segment. Its holder's death frees it at once, whatever killed it. One per segment and process handle; never
 * shared between two.
 */
export class LockFile {
  readonly #fd: number;
  readonly #place: Place;
  #open = true;

  private constructor(fd: number, place: Place) {
    this.#fd = fd;
    this.#place = place;
  }

  /**
   * Opens the lock file (created if asked) and counts this process among the segment's users. Starts again where a cleaner removed
   * the file in between: a lock on a file without a name protects nobody.
   */
  static open(place: Place, options: { create: boolean }): LockFile {
    const path = cString(place.lock);
    for (let tries = 0; tries < 1000; tries++) {
      const fd = check(library.lockOpen(path, options.create ? 1 : 0), `open ${place.lock}`);
      const lock = new LockFile(fd, place);
      try {
        if (lock.#take(userByte, false) && check(library.lockIs(fd, path), `look at ${place.lock}`) === 1)
          return lock;
      } catch (error) {
        lock.close();
        throw error;
      }
      lock.close();
      Bun.sleepSync(0.1);
    }
    return fail("LOCKED", `Cannot open ${place.name}: its files are being removed all the time`, {
      ...place,
    });
  }

  #take(byte: number, exclusive: boolean): boolean {
    const result = library.lockTake(this.#fd, byte, exclusive ? 1 : 0);
    if (result === EAGAIN || result === EACCES) return false;
    check(result, `lock ${this.#place.lock}`);
    return true;
  }

  /** Whether this process now owns writing. Never waits. */
  takeWriter(): boolean {
    return this.#take(writerByte, true);
  }

  dropWriter(): void {
    check(library.lockDrop(this.#fd, writerByte), `unlock ${this.#place.lock}`);
  }

  /** Whether another process owns writing now. */
  get isWriterElsewhere(): boolean {
    return check(library.lockHeld(this.#fd, writerByte), `look at ${this.#place.lock}`) === 1;
  }

  /** Removes both files if nobody else uses the segment: data first, so that no user of the lock can find data without it. */
  removeIfLast(): boolean {
    if (!this.#take(userByte, true)) return false;
    if (library.lockIs(this.#fd, cString(this.#place.lock)) !== 1) return false;
    for (const file of [this.#place.data, this.#place.lock])
      try {
        unlinkSync(file);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      }
    return true;
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    library.lockClose(this.#fd);
  }
}
