import { expect, test } from "bun:test";
import { join } from "node:path";
import { canaries } from "./canary.ts";

async function sim(...args: string[]): Promise<{ status: number; output: string }> {
  const child = Bun.spawn(["bun", join(import.meta.dir, "run.ts"), ...args], {
    stdout: "pipe",
    stderr: "inherit",
  });
  const output = await new Response(child.stdout).text();
  return { status: await child.exited, output };
}

// Other seeds every day: a failure names its seed, and `bun run sim --seed N` replays it.
const from = 1 + Math.floor(Date.now() / 86_400_000) * 10_000;

test("worlds of storms, cuts and restarts all end in equal bytes", async () => {
  const { status, output } = await sim("--seeds", "300", "--from", String(from));
  console.log(output.trim());
  expect(output).toContain(" 0 violations");
  expect(status).toBe(0);
}, 300_000);

test("one seed is one world", async () => {
  const runs = await Promise.all([sim("--seed", "17"), sim("--seed", "17")]);
  expect(runs[0]).toEqual(runs[1]!);
});

test.each(Object.keys(canaries))(
  "a planted bug is found: %s",
  async (name) => {
    const { status, output } = await sim("--seeds", "300", "--jobs", "1", "--canary", name);
    expect(output).toMatch(/[1-9]\d* violations/);
    expect(status).toBe(1);
  },
  120_000,
);
