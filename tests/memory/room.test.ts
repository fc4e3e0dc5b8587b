import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { controlGroupRoom, fileSizeLimit, type ReadText } from "../../src/memory/room.ts";
import { uniqueName } from "./names.ts";

setDefaultTimeout(30_000);

const script = join(import.meta.dir, "children/create_large.ts");

function run(command: string, env: Record<string, string> = {}) {
  const process_ = Bun.spawnSync(["bash", "-c", command], {
    env: { ...process.env, ...env, BUN: process.execPath, SCRIPT: script },
    stdout: "pipe",
    stderr: "pipe",
  });
  return {
    code: process_.exitCode,
    text: process_.stdout.toString().trim(),
    error: process_.stderr.toString(),
  };
}

const canMount = run("unshare -Urm bash -c 'mount -t tmpfs -o size=1m none /mnt'").code === 0;

describe("room", () => {
  test.skipIf(!canMount)(
    "a small tmpfs: says how much is needed and how much is there, and leaves nothing behind",
    () => {
      const { text, error } = run(
        `unshare -Urm bash -c 'mount -t tmpfs -o size=1m none /mnt && "$BUN" "$SCRIPT" full 4194304; ls -A /mnt/memblast'`,
        { MEMBLAST_DIR: "/mnt/memblast" },
      );
      expect(error).toBe("");
      const [line, ...left] = text.split("\n");
      const failure = JSON.parse(line!);
      expect(failure).toEqual({
        code: "NO_SPACE",
        message: expect.stringContaining("Segment full needs"),
        details: { needed: expect.any(Number), room: 2 ** 20, directory: "/mnt/memblast" },
      });
      expect(failure.details.needed).toBeGreaterThan(8 * 2 ** 20);
      expect(failure.message).toContain(
        `${failure.details.needed} bytes in /mnt/memblast, where ${2 ** 20} are free`,
      );
      expect(left).toEqual([]);
    },
  );

  test("ulimit -f: an error that names the limit, and no file", () => {
    const name = uniqueName("ulimit");
    const { text, error } = run(`ulimit -f 64; "$BUN" "$SCRIPT" ${name} 4194304`);
    expect(error).toBe("");
    expect(JSON.parse(text)).toEqual({
      code: "NO_SPACE",
      message: expect.stringContaining("where 65536 are free: raise it (ulimit -f)"),
      details: { needed: expect.any(Number), room: 65536, directory: expect.any(String) },
    });
    const folder = process.env["MEMBLAST_DIR"] ?? `/dev/shm/memblast-${process.geteuid!()}`;
    expect(readdirSync(folder).filter((file) => file.startsWith(name))).toEqual([]);
  });

  test("the limit on file sizes is what the system says", () => {
    const limits = (size: string) => () =>
      `Limit  Soft  Hard  Units\nMax file size   ${size}   unlimited   bytes\n`;
    expect(fileSizeLimit(limits("unlimited"))).toBe(Infinity);
    expect(fileSizeLimit(limits("65536"))).toBe(65536);
    expect(fileSizeLimit(() => null)).toBe(Infinity);
  });
});

describe("control groups", () => {
  const files =
    (contents: Record<string, string>): ReadText =>
    (file) =>
      contents[file] ?? null;

  test("of the second generation: the tightest of all above, page cache counted as free", () => {
    const read = files({
      "/proc/self/cgroup": "0::/a/b\n",
      "/sys/fs/cgroup/a/b/memory.max": "max\n",
      "/sys/fs/cgroup/a/b/memory.current": "50\n",
      "/sys/fs/cgroup/a/memory.max": "1000\n",
      "/sys/fs/cgroup/a/memory.current": "900\n",
      "/sys/fs/cgroup/a/memory.stat": "anon 100\nactive_file 300\ninactive_file 200\nshmem 300\n",
    });
    expect(controlGroupRoom(read)).toBe(1000 - (900 - 500));
  });

  test("of the first generation", () => {
    const read = files({
      "/proc/self/cgroup": "9:name=systemd:/\n4:memory:/job\n0::/\n",
      "/sys/fs/cgroup/memory/job/memory.limit_in_bytes": "5000\n",
      "/sys/fs/cgroup/memory/job/memory.usage_in_bytes": "4000\n",
      "/sys/fs/cgroup/memory/job/memory.stat":
        "active_file 1\ntotal_active_file 1000\ntotal_inactive_file 500\n",
      "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
      "/sys/fs/cgroup/memory/memory.usage_in_bytes": "1\n",
    });
    expect(controlGroupRoom(read)).toBe(2500);
  });

  test("none, or without limits: endless", () => {
    expect(controlGroupRoom(files({}))).toBe(Infinity);
    expect(controlGroupRoom(files({ "/proc/self/cgroup": "0::/\n" }))).toBe(Infinity);
    expect(controlGroupRoom()).toBeGreaterThan(0);
  });
});
