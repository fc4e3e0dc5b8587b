import { existsSync, readdirSync, statSync } from "node:fs";
import { fail, MemblastError } from "../errors.ts";
import { checkBoot, isPersistent, mapHandle, type Writers, writersOf } from "./handle.ts";
import { library } from "./library.ts";
import { LockFile } from "./lock.ts";
import { isSegmentName, placeAt, type Place, segmentDirectory } from "./place.ts";

/** A segment as it lies in a folder. */
export interface SegmentInfo {
  readonly name: string;
  readonly path: string;
  /** Of the whole file; 0 where only its lock file is left. */
  readonly bytes: number;
  /** The newest version; null where it cannot be read. */
  readonly version: number | null;
  readonly writers: Writers | null;
  /** Whether a living process may write it, by its lock. */
  readonly isOwned: boolean;
  /** Whether a living process has it open. Where neither is so, it is left over: `clean()` removes it unless it is persistent. */
  readonly isUsed: boolean;
  /** Whether it is meant to stay without users; null where it cannot be read. */
  readonly persist: boolean | null;
  /** Why it cannot be attached; null where it can. */
  readonly problem: MemblastError | null;
}

export interface CleanOptions {
  /** Another folder than this user's. */
  readonly directory?: string;
  /** Only these. */
  readonly names?: readonly string[];
  /** Persistent segments too, which are meant to outlive their users, and files that cannot be read. Default false. */
  readonly persistent?: boolean;
}

/** The segments in this user's folder, or in another. Opens each to look, and holds on to none. */
export function list(directory: string = segmentDirectory()): SegmentInfo[] {
  return placesIn(directory)
    .map(infoOf)
    .filter((info) => info !== null);
}

/**
 * Removes segments that nobody has open any more, by their locks and by nothing else: a process that lives, however long it has slept
 * or been stopped, keeps what it uses. Lock files that were left alone go too; data without a lock file stays, since nobody can tell
 * who uses it. Returns the names of what was removed. @throws INVALID_OPTION
 */
export function clean(options: CleanOptions = {}): string[] {
  checkClean(options);
  const { directory = segmentDirectory(), names, persistent = false } = options;
  return placesIn(directory)
    .filter((place) => (!names || names.includes(place.name)) && removeLeft(place, persistent))
    .map((place) => place.name);
}

const isText = (value: unknown) => typeof value === "string";

/** What each option may be, undefined apart, and how to say it. */
const cleanRules: Record<keyof CleanOptions, readonly [(value: unknown) => boolean, string]> = {
  directory: [isText, "the path of a folder"],
  names: [(value) => Array.isArray(value) && value.every(isText), "a list of names"],
  persistent: [(value) => typeof value === "boolean", "true or false"],
};

/** Nothing of it may be misspelt: without `names`, everything goes. */
function checkClean(options: unknown): void {
  if (typeof options !== "object" || options === null || Array.isArray(options))
    fail("INVALID_OPTION", 'clean(): the options are an object, as { names: ["prices"] }', { path: [] });
  for (const [option, value] of Object.entries(options)) {
    const path = [option];
    if (!Object.hasOwn(cleanRules, option)) {
      const known = Object.keys(cleanRules).join(", ");
      fail("INVALID_OPTION", `clean(): there is no option ${option}, only ${known}`, { path });
    }
    const [isRight, form] = cleanRules[option as keyof CleanOptions];
    if (value !== undefined && !isRight(value))
      fail("INVALID_OPTION", `clean(): option ${option} is ${form}`, { path });
  }
}

function placesIn(directory: string): Place[] {
  if (!existsSync(directory)) return [];
  const names = new Set(readdirSync(directory).map((file) => file.replace(/\.lock$/, "")));
  return [...names]
    .filter(isSegmentName)
    .sort()
    .map((name) => placeAt(directory, name));
}

/** Null where it vanished while we looked. */
function infoOf(place: Place): SegmentInfo | null {
  const stat = statSync(place.data, { throwIfNoEntry: false });
  if (!stat && !existsSync(place.lock)) return null;
  const facts = { name: place.name, path: place.data, bytes: stat?.size ?? 0 };
  const contents = contentsOf(place);
  return { ...facts, ...contents, ...usersOf(place) };
}

type Contents = Pick<SegmentInfo, "version" | "writers" | "persist" | "problem">;

function contentsOf(place: Place): Contents {
  const unknown = { version: null, writers: null, persist: null };
  return attempt(
    () => {
      const handle = mapHandle(place, false);
      try {
        const facts = { writers: writersOf(handle), persist: isPersistent(handle) };
        return attempt<Contents>(
          () => {
            checkBoot(place, handle);
            return { ...facts, version: library.version(handle), problem: null };
          },
          (problem) => ({ ...facts, version: null, problem }),
        );
      } finally {
        library.segmentClose(handle);
      }
    },
    (problem) => ({ ...unknown, problem }),
  );
}

function attempt<T>(action: () => T, otherwise: (problem: MemblastError) => T): T {
  try {
    return action();
  } catch (error) {
    if (error instanceof MemblastError) return otherwise(error);
    throw error;
  }
}

function usersOf(place: Place): Pick<SegmentInfo, "isOwned" | "isUsed"> {
  const lock = inspect(place);
  if (!lock) return { isOwned: false, isUsed: false };
  try {
    return { isOwned: lock.isWriterElsewhere, isUsed: lock.isUsedElsewhere };
  } finally {
    lock.close();
  }
}

function inspect(place: Place): LockFile | null {
  // Not a file that a segment would have: not ours to judge.
  return attempt(
    () => LockFile.inspect(place),
    () => null,
  );
}

function removeLeft(place: Place, persistent: boolean): boolean {
  const lock = inspect(place);
  if (!lock) return false;
  try {
    return lock.takeLeft() && (persistent || isPassing(place)) && lock.remove();
  } finally {
    lock.close();
  }
}

/** Whether it may go with its last user: what cannot be read may have been meant to stay. */
function isPassing(place: Place): boolean {
  return !existsSync(place.data) || contentsOf(place).persist === false;
}
