import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { canaries } from "./canary.ts";
import { faults } from "./faults.ts";

setDefaultTimeout(30_000);

async function sim(...args: string[]): Promise<{ status: number; output: string }> {
  const child = Bun.spawn([process.execPath, join(import.meta.dir, "run.ts"), ...args], {
    stdout: "pipe",
    stderr: "inherit",
  });
  const output = await new Response(child.stdout).text();
  return { status: await child.exited, output };
}

test("worlds of storms, cuts and restarts all end in equal bytes", async () => {
  const { status, output } = await sim("--seeds", process.env["SIM_SEEDS"] ?? "2000", "--from", "1");
  console.log(output.trim());
  expect(output).toContain(" 0 violations");
  expect(status).toBe(0);
  for (const fault of faults) expect(output).toMatch(new RegExp(`[1-9]\\d* ${fault}`));
}, 900_000);

test.each(["tree", "maps", "mesh"])("one seed is one world: %s", async (layout) => {
  const runs = await Promise.all([1, 2].map(() => sim("--seed", "17", "--layout", layout)));
  expect(runs[0]).toEqual(runs[1]!);
});

test("every fault has a planted bug that takes it to be found", () => {
  const needed = new Set(Object.values(canaries).map(({ needs }) => needs.at(-1)));
  expect(faults.filter((fault) => !needed.has(fault))).toEqual([]);
});

test.each(Object.entries(canaries))(
  "a planted bug is found: %s",
  async (name, { needs, layout = "tree" }) => {
    const args = ["--canary", name, "--jobs", "1", "--layout", layout, "--from", "1"];
    const found = await sim(...args, "--seeds", "1500", "--faults", needs.join(",") || "none");
    expect(found.output).toMatch(/[1-9]\d* violations/);
    expect(found.status).toBe(1);
    if (needs.length === 0) return;
    // Without that fault nothing shows: it is this one that finds it.
    const hidden = await sim(...args, "--seeds", "15", "--faults", needs.slice(0, -1).join(",") || "none");
    expect(hidden.output).toContain(" 0 violations");
  },
  120_000,
);
