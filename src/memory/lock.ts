import { existsSync, unlinkSync } from "node:fs";
import { fail } from "../errors.ts";
import { check, startFirst } from "./failure.ts";
import { cString, library } from "./library.ts";
import type { Place } from "./place.ts";

const EAGAIN = -11;
const EACCES = -13;
const ENOENT = -2;
const EEXIST = -17;

/** What the bytes of a lock file stand for: memblast.h, MB_LOCK_. */
const writerByte = 0;
const userByte = 1;

/** A cleaner that has taken the lock of a segment is done with it after a few system calls, unless it is stopped. */
const removalPatienceMs = 5000;

/**
 * The lock file beside a segment. Its holder's death frees it at once, whatever killed it, and so does the end of the Worker that
 * opened it. One per handle on a segment; never shared between two.
 */
export class LockFile {
  /** The descriptor, for the C library. */
  readonly fd: number;
  /** Made just now beside data that had none: the locks of its users are on a file that nobody finds any more. */
  readonly isReplaced: boolean;
  readonly #place: Place;
  #open = true;

  private constructor(fd: number, place: Place, isReplaced: boolean) {
    this.fd = fd;
    this.#place = place;
    this.isReplaced = isReplaced;
  }

  /**
   * Opens the lock file (created if asked) and counts this process among the segment's users. Starts again where a cleaner removed
   * the file in between: a lock on a file without a name protects nobody.
   */
  static open(place: Place, options: { create: boolean }): LockFile {
    const deadline = performance.now() + removalPatienceMs;
    do {
      const lock =
        LockFile.#openFile(place, false) ?? (options.create ? LockFile.#openFile(place, true) : null);
      if (!lock && options.create) continue; // it came between the two looks
      if (!lock)
        fail("NOT_FOUND", `Cannot open ${place.lock}: there is no such segment: ${startFirst}`, { ...place });
      try {
        if (lock.#take(userByte, false) && lock.#isNamed()) return lock;
      } catch (error) {
        lock.close();
        throw error;
      }
      lock.close();
      Bun.sleepSync(1);
    } while (performance.now() < deadline);
    return fail("LOCKED", `Cannot open ${place.name}: its files are being removed all the time`, {
      ...place,
    });
  }

  /** Opens it without becoming a user, to look at who is; null where there is none. */
  static inspect(place: Place): LockFile | null {
    return LockFile.#openFile(place, false);
  }

  static #openFile(place: Place, create: boolean): LockFile | null {
    // Looked for before the lock is made: what comes afterwards came from somebody who found this one.
    const isReplaced = create && existsSync(place.data);
    const fd = library.lockOpen(cString(place.lock), create ? 1 : 0);
    if (fd === (create ? EEXIST : ENOENT)) return null;
    return new LockFile(check(fd, `open ${place.lock}`), place, isReplaced);
  }

  #isNamed(): boolean {
    return check(library.lockIs(this.fd, cString(this.#place.lock)), `look at ${this.#place.lock}`) === 1;
  }

  #take(byte: number, exclusive: boolean): boolean {
    const result = library.lockTake(this.fd, byte, exclusive ? 1 : 0);
    if (result === EAGAIN || result === EACCES) return false;
    check(result, `lock ${this.#place.lock}`);
    return true;
  }

  #isHeldElsewhere(byte: number): boolean {
    return check(library.lockHeld(this.fd, byte), `look at ${this.#place.lock}`) === 1;
  }

  /** Whether this handle now is the one writer, or with `shared` one of many. Never waits; the one can become one of many. */
  takeWriter(options: { shared: boolean } = { shared: false }): boolean {
    return this.#take(writerByte, !options.shared);
  }

  /** Whether any other handle may write. */
  get isWriterElsewhere(): boolean {
    return this.#isHeldElsewhere(writerByte);
  }

  /** Whether any other handle has the segment open. */
  get isUsedElsewhere(): boolean {
    return this.#isHeldElsewhere(userByte);
  }

  /**
   * Removes both files if nobody else uses the segment: data first, so that no user of the lock can find data without it. Gives up
   * being a user before it tries: of two that close at the same time, each would see the other.
   */
  removeIfLast(): boolean {
    check(library.lockDrop(this.fd, userByte), `unlock ${this.#place.lock}`);
    return this.takeLeft() && this.remove();
  }

  /** Whether nobody uses the segment, and nobody can begin to until this is closed. Never waits. */
  takeLeft(): boolean {
    return this.#take(userByte, true) && this.#isNamed();
  }

  /** Removes both files; only after {@link LockFile.takeLeft}. */
  remove(): true {
    removeFile(this.#place.data);
    removeFile(this.#place.lock);
    return true;
  }

  /** Takes back a lock file made just now. */
  unmake(): void {
    removeFile(this.#place.lock);
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    library.lockClose(this.fd);
  }
}

function removeFile(file: string): void {
  try {
    unlinkSync(file);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "ENOENT")
      fail("SYSTEM", `Cannot remove ${file}: the system said ${code}`, { errno: code }, error);
  }
}
