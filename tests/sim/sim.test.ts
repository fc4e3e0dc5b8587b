import { expect, setDefaultTimeout, test } from "bun:test";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { canaries } from "./canary.ts";
import { faults } from "./faults.ts";
import { play } from "./world.ts";

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

test("one world is told, node by node and in the order of time, and is the same as untold", async () => {
  const { output, status } = await sim("--seed", "17", "--layout", "tree");
  expect(status).toBe(0);
  expect(output).toMatch(/^world 17 \(tree\)\n\nn0 {2}writes/);
  expect(output).toMatch(/^ +[\d.]+ {2}n\d {3}update {6}version \d+ of n0: from \d+ to \d+ here$/m);
  expect(output).toEndWith("\n\n0 violations\n");
  const inMemory = new Set(["cut", "partition", "stall"] as const); // of this process, not in files
  const { story, ...told } = play(17, inMemory, "tree", true);
  expect(told).toEqual(play(17, inMemory, "tree"));
  const times = story!.happenings.map(({ ms }) => ms);
  expect(times).toEqual(times.toSorted((a, b) => a - b));
  expect(times.length).toBeWithin(50, 401);
});

test("the sum of several processes, as a file", async () => {
  const file = join(tmpdir(), `memblast-sim-${process.pid}.json`);
  const { output } = await sim("--seeds", "4", "--from", "1", "--jobs", "2", "--json", file);
  const sum = await Bun.file(file).json();
  await Bun.file(file).delete();
  expect(sum).toMatchObject({ worlds: 4, violations: [] });
  expect(output).toContain("4 worlds");
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
    expect(found.output).toMatch(new RegExp(`^found: ${name} .*, by seed \\d+$`, "m"));
    expect(found.status).toBe(0);
    if (needs.length === 0) return;
    // Without that fault nothing shows: it is this one that finds it.
    const hidden = await sim(...args, "--seeds", "15", "--faults", needs.slice(0, -1).join(",") || "none");
    expect(hidden.output).toContain(`not found: ${name}`);
    expect(hidden.status).toBe(1);
  },
  120_000,
);
