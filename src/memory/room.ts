import { readFileSync, type StatsFs, statfsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fail } from "../errors.ts";
import type { Place } from "./place.ts";

/** A file's text; null where there is none. */
export type ReadText = (file: string) => string | null;

function readText(file: string): string | null {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return null;
  }
}

const tmpfs = 0x01021994;

/** The two generations of control groups: where they lie, and how they call limit, usage and page cache. */
const generations = [
  {
    line: /^0::(.*)$/m,
    root: "/sys/fs/cgroup",
    max: "memory.max",
    used: "memory.current",
    cache: /^(?:in)?active_file (\d+)$/gm,
  },
  {
    line: /^\d+:(?:[^:]*,)?memory(?:,[^:]*)?:(.*)$/m,
    root: "/sys/fs/cgroup/memory",
    max: "memory.limit_in_bytes",
    used: "memory.usage_in_bytes",
    cache: /^total_(?:in)?active_file (\d+)$/gm,
  },
] as const;

/**
 * Bytes that the control groups of this process still allow, the page cache counted as free. Inside of one, taking too much is not
 * refused but killed.
 */
export function controlGroupRoom(read: ReadText = readText): number {
  const groups = read("/proc/self/cgroup") ?? "";
  let room = Infinity;
  for (const { line, root, ...names } of generations) {
    const group = line.exec(groups)?.[1];
    if (group === undefined) continue;
    for (let folder = join(root, group); folder.startsWith(root); folder = dirname(folder))
      room = Math.min(room, roomOf(folder, names, read));
  }
  return room;
}

function roomOf(folder: string, names: { max: string; used: string; cache: RegExp }, read: ReadText): number {
  const [max, used] = [names.max, names.used].map((name) => read(join(folder, name))?.trim() ?? "");
  if (!/^\d+$/.test(max!) || !/^\d+$/.test(used!)) return Infinity; // no limit here: "max", or no such file
  let cached = 0;
  for (const [, bytes] of (read(join(folder, "memory.stat")) ?? "").matchAll(names.cache))
    cached += Number(bytes);
  return Number(max) - Math.max(0, Number(used) - cached);
}

/** The largest file that this process may write: `ulimit -f`. */
export function fileSizeLimit(read: ReadText = readText): number {
  const soft = /^Max file size\s+(\S+)/m.exec(read("/proc/self/limits") ?? "")?.[1];
  return soft && /^\d+$/.test(soft) ? Number(soft) : Infinity;
}

function fileSystemOf(place: Place): StatsFs {
  try {
    return statfsSync(place.directory);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return fail(
      "SYSTEM",
      `Cannot look for room in ${place.directory}: the system said ${code}`,
      { errno: code },
      error,
    );
  }
}

/** Refuses, before anything is taken, what would not fit, and says how much was needed and how much is there. NO_SPACE. */
export function checkRoom(place: Place, needed: number): void {
  const { bavail, bsize, type } = fileSystemOf(place);
  const isMemory = type === tmpfs;
  const advice = isMemory
    ? "make room, or raise its size (mount -o remount,size=..., docker --shm-size)"
    : "make room";
  checkAgainst(place, needed, bavail * bsize, `in ${place.directory}`, advice);
  checkAgainst(
    place,
    needed,
    fileSizeLimit(),
    "under the limit on file sizes",
    "raise it (ulimit -f) or hold less",
  );
  if (isMemory)
    checkAgainst(
      place,
      needed,
      controlGroupRoom(),
      "under this container's memory limit",
      "raise it or hold less",
    );
}

function checkAgainst(place: Place, needed: number, room: number, where: string, advice: string): void {
  if (needed <= room) return;
  fail(
    "NO_SPACE",
    `Segment ${place.name} needs ${needed} bytes ${where}, where ${room} are free: ${advice}`,
    {
      needed,
      room,
      directory: place.directory,
    },
  );
}
