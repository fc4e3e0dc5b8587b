import { existsSync, readFileSync, mkdirSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { findCompiler } from "../../ffi/build.ts";

/** What some faults need of the machine, and how to tell that it is there. */
const checks = {
  compiler: () => (findCompiler() ? null : "there is no C compiler"),
  strace: () =>
    tryCommand(
      ["strace", "-o", "/dev/null", "true"],
      "strace is missing or may not trace (apt install strace)",
    ),
  namespaces: () =>
    tryCommand(
      ["unshare", "-Urm", "mount", "-t", "tmpfs", "none", "/mnt"],
      "user namespaces with mounts are not allowed here",
    ),
  networks: () =>
    tryCommand(
      ["unshare", "-Urn", "ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1"],
      "user namespaces with networks of their own are not allowed here, or ip is missing (iproute2)",
    ),
  taskset: () => (Bun.which("taskset") ? null : "taskset is missing (util-linux)"),
  prlimit: () => (Bun.which("prlimit") ? null : "prlimit is missing (util-linux)"),
  fallocate: () => (Bun.which("fallocate") ? null : "fallocate is missing (util-linux)"),
  controlGroup() {
    const group = memoryGroup();
    group?.remove();
    return group ? null : "no control group for memory can be made here (needs root)";
  },
} satisfies Record<string, () => string | null>;

export type Need = keyof typeof checks;

const known = new Map<Need, string | null>();

/** Why this machine lacks one of `needs`, or null. Each is looked at once. */
export function lacking(needs: readonly Need[]): string | null {
  for (const need of needs) {
    if (!known.has(need)) known.set(need, checks[need]());
    const reason = known.get(need);
    if (reason) return reason;
  }
  return null;
}

function tryCommand(command: string[], reason: string): string | null {
  if (!Bun.which(command[0]!)) return reason;
  return Bun.spawnSync(command, { stdout: "ignore", stderr: "ignore", timeout: 10_000 }).success
    ? null
    : reason;
}

/** A memory control group that children can be put into: version 2, or 1. */
export interface MemoryGroup {
  readonly version: 1 | 2;
  readonly folder: string;
  remove(): void;
}

/** Where this process' own group is; version 1 has a hierarchy for memory alone. */
function ownGroup(): { version: 1 | 2; folder: string } | null {
  const text = existsSync("/proc/self/cgroup") ? readFileSync("/proc/self/cgroup", "utf8") : "";
  const first = /^\d+:(?:[^:]*,)?memory(?:,[^:]*)?:(.*)$/m.exec(text)?.[1];
  if (first !== undefined) {
    const folder = join("/sys/fs/cgroup/memory", first);
    return { version: 1, folder: existsSync(folder) ? folder : "/sys/fs/cgroup/memory" };
  }
  const second = /^0::(.*)$/m.exec(text)?.[1];
  return second === undefined ? null : { version: 2, folder: join("/sys/fs/cgroup", second) };
}

/** A new group below our own with `bytes` of memory; null where that is not allowed. */
export function memoryGroup(bytes = 2 ** 30): MemoryGroup | null {
  const own = ownGroup();
  if (!own) return null;
  const folder = join(own.folder, `memblast-${process.pid}-${Math.floor(performance.now() * 1000)}`);
  try {
    mkdirSync(folder);
  } catch {
    return null;
  }
  const group: MemoryGroup = { version: own.version, folder, remove: () => removeGroup(folder) };
  try {
    writeFileSync(join(folder, own.version === 1 ? "memory.limit_in_bytes" : "memory.max"), String(bytes));
    return group;
  } catch {
    group.remove();
    return null;
  }
}

function removeGroup(folder: string): void {
  for (let tries = 0; ; tries++)
    try {
      rmdirSync(folder);
      return;
    } catch (error) {
      if (tries === 100) throw error; // its last process has not left yet
      Bun.sleepSync(10);
    }
}
