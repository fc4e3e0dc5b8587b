import { readFileSync } from "node:fs";
import type { Trial } from "./fault.ts";
import { type Ended, run } from "./programs.ts";

/** The N-th call of a name in a program's first thread. */
export interface Call {
  readonly name: string;
  readonly nth: number;
}

/** Calls that an operation makes, between the two marks of its program. */
export interface Traced {
  readonly ended: Ended;
  readonly calls: readonly Call[];
}

export interface Marks {
  readonly start: RegExp;
  readonly end: RegExp;
}

/** Runs a program under strace; `inject` as strace wants it, `paths` to look at calls on these files only. */
async function strace(trial: Trial, command: string[], options: { inject?: string; paths?: string[] }) {
  const log = trial.path("strace.log");
  const inject = options.inject ? ["-e", `inject=${options.inject}`] : [];
  const paths = (options.paths ?? []).flatMap((path) => ["-P", path]);
  const ended = await run(trial, ["strace", "-f", "-o", log, ...paths, ...inject, ...command]);
  return { ended, log: readFileSync(log, "utf8") };
}

/** Which calls the program's first thread makes between its marks. */
export async function trace(
  trial: Trial,
  command: string[],
  marks: Marks,
  paths: string[] = [],
): Promise<Traced> {
  const { ended, log } = await strace(trial, command, { paths });
  const lines = log.split("\n");
  const first = /^\d+/.exec(lines[0] ?? "")?.[0];
  const seen = new Map<string, number>();
  const calls: Call[] = [];
  let inside = false;
  for (const line of lines) {
    const [, pid, name] = /^(\d+) +(\w+)\(/.exec(line) ?? [];
    if (!name || pid !== first) continue;
    const nth = (seen.get(name) ?? 0) + 1;
    seen.set(name, nth);
    if (marks.end.test(line)) break;
    if (inside && name !== neverFails) calls.push({ name, nth });
    if (marks.start.test(line)) inside = true;
  }
  return { ended, calls };
}

/** Errors that a call can really give; the rest of them gives EIO. */
const errors: Record<string, readonly string[]> = {
  openat: ["EMFILE", "EACCES", "ENOMEM", "EINTR"],
  access: ["EIO"],
  fcntl: ["ENOLCK", "EINTR"],
  pread64: ["EIO", "EINTR"],
  fallocate: ["ENOSPC", "EINTR", "EIO"],
  mmap: ["ENOMEM", "EAGAIN"],
  linkat: ["ENOSPC", "EIO", "ENOENT"],
  futex: ["EINTR"],
  madvise: ["EINVAL"],
  socketpair: ["EMFILE"],
  clone: ["EAGAIN"],
  clone3: ["EAGAIN"],
};

/** strace cannot fail it: the kernel says how far the heap goes, not an error. Allocations fail elsewhere (F21). */
const neverFails = "brk";

/** Calls whose failure is the leak itself: what they would have released is not. */
export const releasing = new Set(["close", "munmap"]);

/** One run of the program for each call and error: what the call was, and how it went. */
export async function* failEach(
  trial: Trial,
  calls: readonly Call[],
  command: string[],
  paths: string[] = [],
): AsyncGenerator<{ call: Call; what: string; ended: Ended }> {
  for (const call of calls)
    for (const error of errors[call.name] ?? ["EIO"]) {
      const inject = `${call.name}:error=${error}:when=${call.nth}`;
      const { ended } = await strace(trial, command, { inject, paths });
      yield { call, what: `${call.name} #${call.nth} ${error}`, ended };
    }
}

/** The same with a SIGKILL at the entry of each call. */
export async function* killAtEach(
  trial: Trial,
  calls: readonly Call[],
  command: string[],
  paths: string[] = [],
): AsyncGenerator<{ call: Call; what: string; ended: Ended }> {
  for (const call of calls) {
    const inject = `${call.name}:signal=KILL:when=${call.nth}`;
    const { ended } = await strace(trial, command, { inject, paths });
    yield { call, what: `SIGKILL at ${call.name} #${call.nth}`, ended };
  }
}
