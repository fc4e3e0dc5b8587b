/** F17, F18, F19, F21: no room on the file system, in the limits, in the control group, in the heap. */
import { join } from "node:path";
import { drive } from "./driver.ts";
import { type Fault, type Trial } from "./fault.ts";
import { memoryGroup } from "./machine.ts";
import { bunChild, type Ended, howItEnded, run } from "./programs.ts";

/** What children/fill.ts prints. */
interface Filled {
  readonly created: number;
  readonly whole: number;
  readonly failures: readonly { code: string; message: string; left: string; leaked: number }[];
  readonly left: string;
}

/** Whoever does not fit is told NO_SPACE and leaves nothing; whoever did fit works to the end. */
function judge(trial: Trial, when: string, ended: Ended): Filled {
  const nothing: Filled = { created: 0, whole: 0, failures: [], left: "" };
  if (ended.status !== 0) {
    trial.violate(`${when}: the process ${howItEnded(ended)}`);
    return nothing;
  }
  const filled = JSON.parse(ended.stdout) as Filled;
  for (const { code, message, left, leaked } of filled.failures) {
    if (code !== "NO_SPACE") trial.violate(`${when}: ${code}: ${message}`);
    if (left) trial.violate(`${when}: a failed creation leaves ${left}`);
    if (leaked > 0) trial.violate(`${when}: a failed creation leaks ${leaked} descriptors`);
  }
  if (filled.whole !== filled.created)
    trial.violate(`${when}: ${filled.created - filled.whole} segments do not work`);
  if (filled.left) trial.violate(`${when}: ${filled.left} left behind`);
  trial.injections += filled.failures.length;
  return filled;
}

const sizes = [
  4096,
  65_536,
  200_000,
  16_384,
  1 << 20,
  100_000,
  4096,
  300_000,
  65_536,
  4096,
  4096,
  500_000,
  4096,
];

/** Runs a program in a file system of its own of that size. */
function inSmallMount(trial: Trial, mountOptions: string, command: string[], before = ":"): Promise<Ended> {
  const script = `mount -t tmpfs -o ${mountOptions} none "$0" && ${before} && exec "$@"`;
  return run(trial, ["unshare", "-Urm", "sh", "-c", script, trial.folder, ...command]);
}

const fullFileSystem: Fault = {
  id: "F17",
  name: "full tmpfs: no bytes, no inodes",
  seconds: 3,
  needs: ["namespaces"],
  async run(trial) {
    const texts: string[] = [];
    for (const mountOptions of ["mode=700,size=1m", "mode=700,size=256k", "mode=700,size=64m,nr_inodes=5"]) {
      if (!trial.more(texts.length, 10)) break;
      const filled = judge(
        trial,
        mountOptions,
        await inSmallMount(trial, mountOptions, bunChild("fill", trial.folder, ...sizes)),
      );
      if (filled.failures.length === 0) trial.violate(`${mountOptions}: everything fits`);
      texts.push(`${mountOptions.slice(9)}: ${filled.created} fit, ${filled.failures.length} refused`);
    }
    const refused = await refusedByTheSystem(trial);
    return `${texts.join("; ")}; ${refused} refused past the look for room; leftovers ${trial.violationCount}`;
  },
};

/** The look for room comes first; these find it gone when they take it. */
async function refusedByTheSystem(trial: Trial): Promise<number> {
  const image = "dd if=/dev/zero of=ballast bs=1k count=700 2>/dev/null";
  const script = `mount -t tmpfs -o size=800k none "$0" && cd "$0" && ${image} && "$@" && ls`;
  const { driverPath } = await import("./driver.ts");
  const { findCompiler } = await import("../../ffi/build.ts");
  if (!findCompiler()) return 0;
  const command = [driverPath(), "call-create", join(trial.folder, "full"), "1", "0", "1"];
  const ended = await run(trial, ["unshare", "-Urm", "sh", "-c", script, trial.folder, ...command]);
  const lines = ended.stdout.trim().split("\n");
  if (!lines.includes("result=-28"))
    trial.violate(`a full file system: ${lines.join(" ")} ${howItEnded(ended)}`);
  if (lines.includes("full")) trial.violate("a full file system: a part of a segment is left");
  if (!lines.includes("descriptors=0") || !lines.includes("mappings=0"))
    trial.violate("a full file system: leaks");
  trial.injections++;
  return 1;
}

const fileSizeLimit: Fault = {
  id: "F18",
  name: "limit on file sizes (ulimit -f)",
  seconds: 2,
  needs: ["prlimit"],
  async run(trial) {
    const limits = [0, 1, 4096, 16_384, 65_536, 262_144];
    let refused = 0;
    for (const [i, limit] of limits.entries()) {
      if (!trial.more(i, limits.length)) break;
      const command = ["prlimit", `--fsize=${limit}`, ...bunChild("fill", trial.folder, ...sizes)];
      const filled = judge(trial, `ulimit ${limit}`, await run(trial, command));
      if (filled.failures.length === 0) trial.violate(`ulimit ${limit}: everything fits`);
      refused += filled.failures.length;
    }
    return `${limits.length} limits, ${refused} segments refused, killed or partial files ${trial.violationCount}`;
  },
};

const mebibyte = 2 ** 20;

const groupLimit: Fault = {
  id: "F19",
  name: "memory limit of a control group",
  seconds: 2,
  needs: ["controlGroup"],
  async run(trial) {
    using stack = new DisposableStack();
    const group = memoryGroup(256 * mebibyte)!;
    stack.defer(() => group.remove());
    const wanted = [8, 512, 16, 1024, 8].map((size) => size * mebibyte);
    const enter = `echo $$ > ${join(group.folder, "cgroup.procs")} && exec "$@"`;
    const command = ["sh", "-c", enter, "sh", ...bunChild("fill", trial.folder, ...wanted)];
    const ended = await run(trial, command);
    const filled = judge(trial, "256 MiB", ended);
    if (filled.failures.length !== 2) trial.violate(`${filled.failures.length} of 2 were refused`);
    return `version ${group.version}: ${filled.created} fit, ${filled.failures.length} refused before memory was taken; killed ${ended.signal ? 1 : 0}`;
  },
};

const allocations: Fault = {
  id: "F21",
  name: "malloc fails once, at every call",
  seconds: 1,
  needs: ["compiler"],
  async run(trial) {
    const found = await drive(trial, "malloc");
    trial.injections += found["failed"] ?? 0;
    return `all ${found["failed"]} allocations of ${found["operations"]} operations failed once; leaks ${trial.violationCount}`;
  },
};

export const space: readonly Fault[] = [fullFileSystem, fileSizeLimit, groupLimit, allocations];
