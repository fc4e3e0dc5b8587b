import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

setDefaultTimeout(30_000);

const root = join(import.meta.dir, "../..");
const prebuilt = join(root, "../shared/prebuilt/duckdb-1.4.4-linux-x64.node.xz");

/** The folder of a package that is not ours to have: its installer downloads the native half, so that is brought along. */
function install(folder: string): string | null {
  if (process.platform !== "linux" || process.arch !== "x64" || !existsSync(prebuilt))
    return "no native half";
  writeFileSync(join(folder, "package.json"), '{"name":"async","private":true}');
  const added = Bun.spawnSync(["bun", "add", "duckdb-async@1.4.2", "--ignore-scripts"], {
    cwd: folder,
    timeout: 60_000,
  });
  if (!added.success) return `bun add: ${added.stderr}`;
  const from = createRequire(join(folder, "package.json")).resolve("duckdb-async");
  const duckdb = dirname(createRequire(from).resolve("duckdb/package.json"));
  const target = join(duckdb, "lib/binding/duckdb.node");
  mkdirSync(dirname(target), { recursive: true });
  const unpacked = Bun.spawnSync(["sh", "-c", 'exec xz -dc "$0" > "$1"', prebuilt, target]);
  return unpacked.success ? null : `xz: ${unpacked.stderr}`;
}

test("live tables in a Database of duckdb-async", async () => {
  const folder = mkdtempSync(join(tmpdir(), "memblast-duckdb-async-"));
  try {
    const missing = install(folder);
    if (missing) {
      console.warn(`SKIPPED: duckdb-async cannot be loaded here (${missing})`);
      return;
    }
    const child = Bun.spawn(["bun", join(import.meta.dir, "children/async.ts"), folder], {
      stdout: "pipe",
      stderr: "pipe",
    });
    const [output, errors] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ]);
    expect([await child.exited, errors]).toEqual([0, ""]);
    expect(output.trim().split("\n")).toEqual([
      "dtypes",
      "follows",
      "one version",
      "statements",
      "errors",
      "the end",
    ]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}, 120_000);
