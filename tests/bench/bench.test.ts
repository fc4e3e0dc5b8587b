import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { duckdbBenches } from "./duckdb.ts";
import { measure } from "./measure.ts";
import { memoryBenches } from "./memory.ts";
import { networkBenches } from "./network.ts";
import { verificationBenches } from "./verification.ts";

setDefaultTimeout(30_000);

test("the command line names a figure that is not there, and all that are", () => {
  const run = (...args: string[]) =>
    Bun.spawnSync([process.execPath, join(import.meta.dir, "run.ts"), ...args]);
  const wrong = run("--only", "diff,snapshot");
  expect(wrong.exitCode).toBe(2);
  expect(wrong.stderr.toString()).toStartWith("bun run bench: there is no snapshot; there is commit-cell, ");
  expect(run("--list", "--only", "diff").stdout.toString()).toMatch(/^diff +against .+\n$/);
});

// Tiny: that each bench runs, and measures something. How fast is for `bun run bench` to say.
test.each(
  [...memoryBenches, ...verificationBenches, ...networkBenches, ...duckdbBenches].map(
    (bench) => [bench.name, bench] as const,
  ),
)(
  "%s gives a figure",
  async (_, bench) => {
    const figure = await measure(bench, 1, 2);
    expect(figure.value).toBeGreaterThan(0);
    expect(figure.limit).toBeGreaterThan(0);
    expect(Number.isFinite(figure.ratio)).toBe(true);
  },
  20_000,
);
