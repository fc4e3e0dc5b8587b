/**
 * Many worlds of real nodes on simulated links, each from one seed.
 *
 *   bun run sim --seeds 10000          worlds from --from on, on all cores; exit status 1 and the seeds on any violation
 *   bun run sim --seed 4711            one world alone, with what happened in it
 *   bun run sim --seeds 500 --canary torn   with a planted bug, which must be found
 */
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { canaries } from "./canary.ts";
import { type Outcome, play } from "./world.ts";

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "2000" },
    seed: { type: "string" },
    from: { type: "string", default: "1" },
    jobs: { type: "string", default: String(Math.min(8, cpus().length)) },
    canary: { type: "string" },
    json: { type: "boolean" },
    help: { type: "boolean", short: "h" },
  },
});

if (values.help) {
  console.log("bun run sim [--seeds 2000] [--from 1] [--jobs CORES] [--seed ONE] [--canary NAME] [--json]");
  console.log(`canaries: ${Object.keys(canaries).join(", ")}`);
  process.exit(0);
}

if (values.canary) {
  const plant = canaries[values.canary];
  if (!plant) {
    console.error(`There is no canary ${values.canary}; there are ${Object.keys(canaries).join(", ")}`);
    process.exit(2);
  }
  plant();
}

if (values.seed) {
  const outcome = play(Number(values.seed));
  console.log(JSON.stringify(outcome, null, 2));
  process.exit(outcome.violation === null ? 0 : 1);
}

interface Sum {
  worlds: number;
  updates: number;
  flips: number;
  mismatches: number;
  singles: number;
  overflows: number;
  virtualMs: number;
  violations: Outcome[];
}

function addUp(sum: Sum, outcome: Outcome): void {
  sum.worlds++;
  sum.updates += outcome.updates;
  sum.flips += outcome.flips;
  sum.mismatches += outcome.mismatches;
  sum.singles += outcome.singles;
  sum.overflows += outcome.overflows;
  sum.virtualMs += outcome.virtualMs;
  if (outcome.violation !== null) sum.violations.push(outcome);
}

const from = Number(values.from);
const seeds = Number(values.seeds);
const jobs = Math.max(1, Math.min(Number(values.jobs), seeds));
const sum: Sum = {
  worlds: 0,
  updates: 0,
  flips: 0,
  mismatches: 0,
  singles: 0,
  overflows: 0,
  virtualMs: 0,
  violations: [],
};
const begun = performance.now();

if (jobs === 1) {
  for (let seed = from; seed < from + seeds; seed++) {
    addUp(sum, play(seed));
    if (values.canary && sum.violations.length) break; // found
  }
} else {
  const share = Math.ceil(seeds / jobs);
  await Promise.all(
    Array.from({ length: jobs }, async (_, job) => {
      const count = Math.min(share, seeds - job * share);
      if (count <= 0) return;
      const args = ["--seeds", String(count), "--from", String(from + job * share), "--jobs", "1", "--json"];
      if (values.canary) args.push("--canary", values.canary);
      const child = Bun.spawn(["bun", import.meta.path, ...args], { stdout: "pipe", stderr: "inherit" });
      const part = JSON.parse(await new Response(child.stdout).text()) as Sum;
      sum.worlds += part.worlds;
      sum.updates += part.updates;
      sum.flips += part.flips;
      sum.mismatches += part.mismatches;
      sum.singles += part.singles;
      sum.overflows += part.overflows;
      sum.virtualMs += part.virtualMs;
      sum.violations.push(...part.violations);
    }),
  );
}

if (values.json) console.log(JSON.stringify(sum));
else {
  const seconds = (performance.now() - begun) / 1000;
  console.log(
    `${sum.worlds} worlds, ${sum.updates} updates (${sum.singles} of them each commit by itself, ${sum.overflows} overflows), ${sum.flips} flipped bits, ${sum.mismatches} mismatches, ` +
      `${Math.round(sum.virtualMs / 1000)} s of virtual time in ${seconds.toFixed(1)} s ` +
      `(${Math.round((sum.worlds / seconds) * 3600)} worlds an hour): ${sum.violations.length} violations`,
  );
  for (const { seed, violation } of sum.violations.slice(0, 20)) console.log(`seed ${seed}: ${violation}`);
}
process.exit(sum.violations.length ? 1 : 0);
