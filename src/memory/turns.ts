import { fail } from "../errors.ts";
import { check, failure } from "./failure.ts";
import { holderOf, holderText } from "./handle.ts";
import { library } from "./library.ts";
import type { LockFile } from "./lock.ts";

const EAGAIN = -11;
const LOCKED = -10017;
const noPlace = -1;

/** Incarnations that this thread is writing: waiting for its own turn to end would last until the deadline. */
const writing = new Set<string>();

/** This handle's turns at writing a segment that many write. */
export class Turns {
  readonly #handle: number;
  readonly #lock: LockFile;
  readonly #name: string;
  readonly #incarnation: string;
  readonly #timeoutMs: number;
  readonly #place: number;
  #isTaken = false;

  constructor(
    handle: number,
    lock: LockFile,
    segment: { name: string; incarnation: string; lockTimeoutMs: number },
  ) {
    this.#handle = handle;
    this.#lock = lock;
    this.#name = segment.name;
    this.#incarnation = segment.incarnation;
    this.#timeoutMs = segment.lockTimeoutMs;
    const place = library.turnJoin(lock.fd);
    this.#place = place === EAGAIN ? noPlace : check(place, `queue for ${segment.name}`);
  }

  /**
   * Waits until this handle alone may write, and mends what a dead writer left. The whole thread waits.
   * @throws NESTED_WRITE, LOCKED after the deadline, STALE
   */
  take(): void {
    if (writing.has(this.#incarnation))
      fail("NESTED_WRITE", `A write to ${this.#name} is already going on in this thread: finish it first`, {
        name: this.#name,
      });
    const result = library.turnTake(this.#handle, this.#lock.fd, this.#place, this.#timeoutMs * 1e6);
    if (result === LOCKED) this.#refuse();
    if (result < 0) failure(result, `write ${this.#name}`);
    this.#isTaken = true;
    writing.add(this.#incarnation);
  }

  #refuse(): never {
    const holder = holderOf(this.#handle);
    return fail(
      "LOCKED",
      `Cannot write ${this.#name}: waited ${this.#timeoutMs} ms while it was held by ${holderText(holder)}`,
      { name: this.#name, holder, waitedMs: this.#timeoutMs },
    );
  }

  /** Whether it is this handle's turn now. */
  get isTaken(): boolean {
    return this.#isTaken;
  }

  give(): void {
    this.#isTaken = false;
    writing.delete(this.#incarnation);
    check(library.turnGive(this.#handle, this.#lock.fd, this.#place), `release ${this.#name}`);
  }
}
