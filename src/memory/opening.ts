import { randomInt } from "node:crypto";
import { existsSync } from "node:fs";
import { fail } from "../errors.ts";
import { check } from "./failure.ts";
import {
  attachHandle,
  createHandle,
  featuresOf,
  holderOf,
  holderText,
  mapHandle,
  segmentBytes,
  type SegmentSpec,
  type Writers,
  writersOf,
} from "./handle.ts";
import { library } from "./library.ts";
import { LockFile } from "./lock.ts";
import { checkFileSystem, placeOf, type Place } from "./place.ts";
import { checkRoom } from "./room.ts";

export interface SegmentOptions {
  /** Who may write; it is laid down in the file. Default "one"; attaching, whatever the file says. */
  readonly writers?: Writers | undefined;
  /** With many writers: how long a write waits for its turn. Default 2000. */
  readonly lockTimeoutMs?: number;
  /** Allow file systems on which shared mappings or locks are not known to work. Default false. */
  readonly unsafeFilesystem?: boolean;
}

export interface CreateOptions extends SegmentOptions {
  /** The last user leaves the files in place. Default false. */
  readonly persist?: boolean;
  /** What to do where another process has the name: fail with EXISTS, or attach. Default "fail". */
  readonly ifExists?: "fail" | "attach";
}

/** How an existing file was found when a writer opened it. */
export type Recovery = "clean" | "rolled forward" | "rolled back";

/** What a handle may do: read; write as it likes; write in turn with others. */
export type Access = "read" | "own" | "turns";

/** A mapped segment and what goes with it. */
export interface Opened {
  readonly handle: number;
  readonly place: Place;
  readonly lock: LockFile;
  readonly access: Access;
  readonly recovery: Recovery;
}

const recoveries: readonly Recovery[] = ["clean", "rolled forward", "rolled back"];
export const lockTimeoutDefaultMs = 2000;
/** How often somebody is looked for who is just creating or leaving. */
const lookMs = 1;

/** Creates a segment, takes over what a dead writer left, or attaches to it if asked. EXISTS, NO_SPACE, SCHEMA_MISMATCH. */
export function openNew(nameOrPath: string, spec: SegmentSpec, options: CreateOptions): Opened {
  const place = placeOf(nameOrPath);
  checkFileSystem(place, options.unsafeFilesystem ?? false);
  const lock = LockFile.open(place, { create: true });
  const deadline = performance.now() + (options.lockTimeoutMs ?? lockTimeoutDefaultMs);
  try {
    for (;;) {
      if (lock.takeWriter()) return makeOrTakeOver(place, lock, spec, options);
      if (options.ifExists !== "attach") refuseExisting(place);
      const joined = join(place, lock, options.writers ?? "one");
      if (joined) return joined;
      if (performance.now() > deadline) refuseLocked(place);
      Bun.sleepSync(lookMs);
    }
  } catch (error) {
    try {
      if (!existsSync(place.data)) lock.removeIfLast();
    } finally {
      lock.close();
    }
    throw error;
  }
}

function refuseExisting(place: Place): never {
  return fail(
    "EXISTS",
    `Segment ${place.name} is written by ${writerText(place)}: attach() to it, pass ifExists: "attach", or use another name`,
    { name: place.name },
  );
}

/** By the writer's own note, as far as there is a file. */
function writerText(place: Place): string {
  try {
    const handle = mapHandle(place, false);
    return closingAfter(handle, () => {
      if (writersOf(handle) === "many") return "others, in turn";
      return holderOf(handle).pid === process.pid ? "this process already" : "another process";
    });
  } catch {
    return "another process";
  }
}

/** Somebody removed the lock file: an owner that still holds it cannot be seen, and must not get a second beside it. */
function refuseLockless(place: Place, lock: LockFile): never {
  if (lock.takeLeft()) lock.unmake();
  return fail(
    "UNSAFE_FILE",
    `Segment ${place.name} has lost its lock file ${place.lock}, so nobody can tell whether it is in use: ` +
      `end the processes that have it open, then remove ${place.data}`,
    { name: place.name },
  );
}

/** The lock says that nobody else writes, so what is there was left. */
function makeOrTakeOver(place: Place, lock: LockFile, spec: SegmentSpec, options: CreateOptions): Opened {
  const writers = options.writers ?? "one";
  const isLeft = existsSync(place.data);
  if (isLeft && lock.isReplaced) refuseLockless(place, lock);
  if (!isLeft) checkRoom(place, check(segmentBytes(spec), `create ${place.name}`));
  const handle = isLeft ? attachHandle(place, true) : createHandle(place, spec, featuresOf(options));
  return closingOnError(handle, () => {
    checkWriters(place, handle, writers);
    const recovery = recover(place, lock, handle);
    if (writers === "many") lock.takeWriter({ shared: true });
    return { handle, place, lock, access: writers === "many" ? "turns" : "own", recovery };
  });
}

/** Attaches beside the writers that there are; null while one of them is still creating, or the last has just left. */
function join(place: Place, lock: LockFile, writers: Writers): Opened | null {
  if (!existsSync(place.data)) return null;
  const handle = attachHandle(place, writers === "many");
  return closingOnError(handle, () => {
    checkWriters(place, handle, writers);
    if (writers === "one") return { handle, place, lock, access: "read", recovery: "clean" };
    if (lock.takeWriter({ shared: true })) return { handle, place, lock, access: "turns", recovery: "clean" };
    library.segmentClose(handle);
    return null;
  });
}

/** Attaches an existing segment. NOT_FOUND, LOCKED, SCHEMA_MISMATCH, UNSAFE_FILE, FORMAT, TRUNCATED. */
export function openExisting(nameOrPath: string, mode: "r" | "rw", options: SegmentOptions): Opened {
  const place = placeOf(nameOrPath);
  checkFileSystem(place, options.unsafeFilesystem ?? false);
  const lock = LockFile.open(place, { create: false });
  try {
    const handle = attachHandle(place, mode === "rw");
    return closingOnError(handle, () => {
      if (options.writers) checkWriters(place, handle, options.writers);
      if (mode === "r") return { handle, place, lock, access: "read", recovery: "clean" };
      if (writersOf(handle) === "many") return joinWriters(place, lock, handle, options);
      if (!lock.takeWriter()) refuseLocked(place, handle);
      return { handle, place, lock, access: "own", recovery: recover(place, lock, handle) };
    });
  } catch (error) {
    lock.close();
    throw error;
  }
}

function joinWriters(place: Place, lock: LockFile, handle: number, options: SegmentOptions): Opened {
  const deadline = performance.now() + (options.lockTimeoutMs ?? lockTimeoutDefaultMs);
  while (!lock.takeWriter({ shared: true })) {
    if (performance.now() > deadline) refuseLocked(place, handle);
    Bun.sleepSync(lookMs);
  }
  return { handle, place, lock, access: "turns", recovery: "clean" };
}

function refuseLocked(place: Place, handle?: number): never {
  const holder = handle === undefined ? undefined : holderOf(handle);
  return fail(
    "LOCKED",
    `Cannot attach ${place.name} for writing: it is owned by ${holder ? holderText(holder) : "another process"}`,
    { name: place.name, ...(holder && { holder }) },
  );
}

function checkWriters(place: Place, handle: number, expected: Writers): void {
  const actual = writersOf(handle);
  if (actual === expected) return;
  fail(
    "SCHEMA_MISMATCH",
    `Segment ${place.name} differs: writers "${expected}" expected, "${actual}" found`,
    {
      difference: `writers "${expected}" expected, "${actual}" found`,
    },
  );
}

function recover(place: Place, lock: LockFile, handle: number): Recovery {
  check(library.segmentRenew(handle, lock.fd, randomInt(1, 2 ** 47)), `take over ${place.name}`);
  const result = check(library.segmentRecover(handle), `recover ${place.name}`);
  check(library.segmentSign(handle), `sign ${place.name}`);
  return recoveries[result]!;
}

function closingAfter<T>(handle: number, action: () => T): T {
  try {
    return action();
  } finally {
    library.segmentClose(handle);
  }
}

function closingOnError<T>(handle: number, action: () => T): T {
  try {
    return action();
  } catch (error) {
    library.segmentClose(handle);
    throw error;
  }
}
