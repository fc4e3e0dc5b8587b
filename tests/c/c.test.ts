/** Builds the C library's own test program, plain and with sanitizers, and runs it. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findCompiler } from "../../ffi/build.ts";

setDefaultTimeout(30_000);

const compiler = findCompiler();
if (!compiler) console.warn("SKIPPED: the C library's own tests need a C compiler: apt-get install gcc");

const flags = "-std=gnu11 -Wall -Wextra -Werror -Wno-unused-function -g -DMB_CRASH_POINTS".split(" ");
const wrapped = "-Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=sched_yield";
const sanitizers = "-fsanitize=address,undefined -fno-sanitize-recover=all".split(" ");
const folder = mkdtempSync(join(tmpdir(), "memblast-c-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function run(command: string[]): Promise<{ status: number; text: string }> {
  const child = Bun.spawn(command, { stdout: "pipe", stderr: "pipe" });
  const [out, errors] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { status: await child.exited, text: `${out}${errors}` };
}

/** Whether this compiler can link the sanitizers, which come in a package of their own here and there. */
function hasSanitizers(): boolean {
  if (!compiler) return false;
  const probe = Bun.spawnSync([compiler, ...sanitizers, "-x", "c", "-", "-o", join(folder, "probe")], {
    stdin: new TextEncoder().encode("int main(void) { return 0; }"),
    stderr: "ignore",
  });
  if (!probe.success) console.warn("SKIPPED: this compiler has no address sanitizer");
  return probe.success;
}

const builds = [
  { name: "plain", options: ["-O2"], isPossible: compiler !== null },
  { name: "sanitized", options: ["-O1", ...sanitizers], isPossible: hasSanitizers() },
];

describe.each(builds)("the C library, $name", ({ name, options, isPossible }) => {
  const program = join(folder, name);

  beforeAll(async () => {
    if (!isPossible) return;
    const source = join(import.meta.dir, "main.c");
    const built = await run([compiler!, ...flags, ...options, "-o", program, source, wrapped, "-lpthread"]);
    if (built.status !== 0) throw new Error(`${compiler} failed:\n${built.text}`);
  }, 120_000);

  test.skipIf(!isPossible)(
    "passes its own tests",
    async () => {
      const { status, text } = await run([program]);
      expect(text.split("\n").filter((line) => /^FAIL|SUMMARY|SEED|killed/.test(line))).toEqual([]);
      expect(text.match(/^ok /gm)?.length).toBeGreaterThan(20);
      expect(status).toBe(0);
    },
    300_000,
  );
});
