import { constants } from "node:os";
import { fail, type ErrorCode } from "../errors.ts";

/** Library codes of memblast.h: what they are called here, and what to do. */
const libraryFailures: Record<number, [ErrorCode, string]> = {
  [-10001]: ["READ_ONLY", "the segment is attached for reading: attach with mode rw to write"],
  [-10002]: ["NESTED_WRITE", "a write is already going on in this segment: finish it first"],
  [-10003]: ["NOT_IN_WRITE", "no write is going on: do this inside write()"],
  [-10004]: [
    "LOCKED",
    "no consistent copy could be made: others write all the time (read less at once, or try again), or its state words are damaged",
  ],
  [-10005]: [
    "TRUNCATED",
    "somebody cut the file short or took its pages away: its contents are lost, create it anew",
  ],
  [-10006]: ["INVALID_REGION", "offset and length lie outside of the image"],
  [-10007]: ["UNSAFE_FILE", "it is not a regular file"],
  [-10008]: ["UNSAFE_FILE", "it belongs to another user"],
  [-10009]: ["UNSAFE_FILE", "group or world may write to it: chmod go-w it if you trust its contents"],
  [-10010]: ["UNSAFE_FILE", "it has more than one hard link"],
  [-10011]: ["FORMAT", "it is not a memblast segment"],
  [-10012]: ["FORMAT", "it was written on a machine of the other byte order"],
  [-10013]: ["FORMAT", "it was written by a release whose format this one does not know"],
  [-10014]: ["FORMAT", "its header does not match its checksum"],
  [-10015]: ["FORMAT", "the offsets and sizes in its header contradict each other"],
  [-10016]: ["TOO_LARGE", "it is larger than a segment can be"],
  [-10017]: ["LOCKED", "another process owns writing"],
  [-10019]: [
    "FORMAT",
    "the words that say which version it holds were overwritten: its contents are lost, create it anew",
  ],
  [-10018]: [
    "STALE",
    "its file was removed, and the name may stand for another segment by now: close it, and start or attach again",
  ],
};

/** What to do where there is no segment of a name. */
export const startFirst = "start it with share: true; list() names those that are there";

const errnoFailures: Record<string, [ErrorCode, string]> = {
  ENOENT: ["NOT_FOUND", `there is no such segment: ${startFirst}`],
  EEXIST: ["EXISTS", "it exists already: attach() to it"],
  ELOOP: ["UNSAFE_FILE", "it is a symbolic link"],
  EISDIR: ["UNSAFE_FILE", "it is a directory"],
  ENXIO: ["UNSAFE_FILE", "it is not a regular file"],
  ENOSPC: ["NO_SPACE", "the file system is full: make room, or mount a larger /dev/shm"],
  ENOMEM: ["NO_SPACE", "there is not enough memory"],
  EFBIG: ["NO_SPACE", "the file would pass the limit on file sizes (ulimit -f)"],
  EACCES: ["UNSAFE_FILE", "its permissions do not let this user in"],
};

function errnoName(errno: number): string {
  return Object.entries(constants.errno).find(([, value]) => value === errno)?.[0] ?? `errno ${errno}`;
}

/** Throws the error that a negative result of the C library stands for; `doing` starts the sentence: "attach prices". */
export function failure(result: number, doing: string): never {
  const known = libraryFailures[result];
  if (known) fail(known[0], `Cannot ${doing}: ${known[1]}`, { result });
  const errno = errnoName(-result);
  const [code, text] = errnoFailures[errno] ?? (["SYSTEM", `the system said ${errno}`] as const);
  fail(code, `Cannot ${doing}: ${text}`, { errno });
}

/** What TinyCC's binding makes of a result of exactly 2^31. */
const mangled = -(2 ** 31);

/** The result itself where it is none of an error. */
export function check(result: number, doing: string): number {
  if (result >= 0) return result;
  return result === mangled ? -mangled : failure(result, doing);
}
