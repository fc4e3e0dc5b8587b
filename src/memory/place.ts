import { lstatSync, mkdirSync, statfsSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fail } from "../errors.ts";

/** The two files of a named segment. */
export interface Place {
  readonly name: string;
  readonly directory: string;
  readonly data: string;
  readonly lock: string;
}

const namePattern = /^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,199}$/;

/** Where named segments of this user live: memory, not disk, and a folder that no other user can enter. */
export function segmentDirectory(): string {
  return process.env["MEMBLAST_DIR"] ?? `/dev/shm/memblast-${process.geteuid!()}`;
}

function makeDirectory(directory: string): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const stat = lstatSync(directory);
  if (!stat.isDirectory() || stat.uid !== process.geteuid!() || stat.mode & 0o022)
    fail(
      "UNSAFE_FILE",
      `${directory} must be a folder of this user that nobody else can write to: remove it`,
      {
        directory,
      },
    );
}

/** A name becomes a file in the user's segment folder; anything with a slash is a path. */
export function placeOf(nameOrPath: string): Place {
  if (typeof nameOrPath !== "string") refuseName(nameOrPath);
  const isPath = nameOrPath.includes("/");
  const name = isPath ? basename(nameOrPath) : nameOrPath;
  if (!isSegmentName(name)) refuseName(nameOrPath);
  const directory = isPath ? dirname(nameOrPath) : segmentDirectory();
  if (!isPath) makeDirectory(directory);
  return placeAt(directory, name);
}

function refuseName(name: unknown): never {
  if (typeof name !== "string")
    fail("INVALID_NAME", 'The name of a segment comes first, as a text: attach("prices", options)', { name });
  return fail(
    "INVALID_NAME",
    `"${name}" cannot name a segment: use letters, digits, _ . : - (at most 200), not ending in .lock`,
    { name },
  );
}

export function isSegmentName(name: string): boolean {
  return namePattern.test(name) && !name.endsWith(".lock");
}

export function placeAt(directory: string, name: string): Place {
  const data = join(directory, name);
  return { name, directory, data, lock: `${data}.lock` };
}

/** statfs types on which locks and shared mappings are known to work. */
const safeFileSystems = new Map([
  [0x01021994, "tmpfs"],
  [0xef53, "ext4"],
  [0x58465342, "xfs"],
  [0x9123683e, "btrfs"],
  [0x2fc12fc1, "zfs"],
]);

export function checkFileSystem(place: Place, unsafe: boolean): void {
  let type: number;
  try {
    type = statfsSync(place.directory).type;
  } catch (cause) {
    return fail("NOT_FOUND", `Cannot use ${place.directory}: there is no such folder`, { ...place }, cause);
  }
  if (unsafe || safeFileSystems.has(type)) return;
  fail(
    "UNSAFE_FILE",
    `${place.directory} is on a file system (0x${type.toString(16)}) where shared mappings or locks may not work: ` +
      `use ${[...safeFileSystems.values()].join(", ")}, or pass unsafeFilesystem: true`,
    { type },
  );
}
