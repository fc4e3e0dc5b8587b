/** Runs the committed inputs through the fuzz targets, with whatever compiler there is: what was found once stays mended. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findCompiler } from "../../ffi/build.ts";

setDefaultTimeout(30_000);

const compiler = findCompiler();
if (!compiler) console.warn("SKIPPED: the fuzz corpus needs a C compiler: apt-get install gcc");

const folder = mkdtempSync(join(tmpdir(), "memblast-replay-"));
const program = join(folder, "replay");
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function build(extra: string[]): { success: boolean; text: string } {
  const flags = "-std=gnu11 -g -O1 -Wall -Wextra -Werror -Wno-unused-function".split(" ");
  const source = join(import.meta.dir, "replay.c");
  const built = Bun.spawnSync([compiler!, ...flags, ...extra, "-o", program, source, "-lpthread"]);
  return { success: built.success, text: built.stderr.toString() };
}

describe.skipIf(!compiler)("the committed inputs", () => {
  beforeAll(() => {
    if (build(["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]).success) return;
    const plain = build([]);
    if (!plain.success) throw new Error(`${compiler} failed:\n${plain.text}`);
    console.warn("this compiler has no address sanitizer: the fuzz corpus runs without");
  }, 120_000);

  test.each(["attach", "apply", "diff"])(
    "of %s break nothing",
    async (target) => {
      const corpus = join(import.meta.dir, "corpus", target);
      const files = readdirSync(corpus).map((file) => join(corpus, file));
      expect(files.length).toBeGreaterThan(5);
      const child = Bun.spawn([program, target, ...files], { stdout: "pipe", stderr: "pipe", cwd: folder });
      const [out, errors] = await Promise.all([
        new Response(child.stdout).text(),
        new Response(child.stderr).text(),
      ]);
      if ((await child.exited) !== 0) throw new Error(errors.slice(-4000));
      expect(out).toBe(`${files.length} files\n`);
    },
    120_000,
  );
});
