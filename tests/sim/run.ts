/**
 * Many worlds of real nodes on simulated links, each from one seed.
 *
 *   bun run sim --seeds 10000          worlds from --from on, on all cores; exit status 1 and the seeds on any violation
 *   bun run sim --seed 4711            one world alone, with what happened in it
 *   bun run sim --faults cut,flip      only these faults, or none
 *   bun run sim --canary torn          with a planted bug, which must be found
 *   bun run sim --models 100000        schedules of the models of conflation, reconnection and mesh instead
 */
import { mkdtempSync, rmSync } from "node:fs";
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { canaries } from "./canary.ts";
import { faults, parseFaults } from "./faults.ts";
import { layouts, type Layout } from "./layout.ts";
import { models } from "./models.ts";
import { addOutcome, addSum, emptySum, type Sum, sumText } from "./sum.ts";
import { play } from "./world.ts";

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "2000" },
    seed: { type: "string" },
    from: { type: "string", default: "1" },
    jobs: { type: "string", default: String(Math.min(8, cpus().length)) },
    faults: { type: "string", default: "all" },
    layout: { type: "string" },
    canary: { type: "string" },
    models: { type: "string" },
    json: { type: "boolean" },
    help: { type: "boolean", short: "h" },
  },
});

if (values.help) {
  console.log(
    "bun run sim [--seeds 2000] [--from 1] [--jobs CORES] [--seed ONE] [--faults NAMES] [--layout NAME] [--canary NAME] [--models SCHEDULES] [--json]",
  );
  console.log(`faults: all, none, ${faults.join(", ")}`);
  console.log(`layouts: ${layouts.join(", ")}`);
  for (const [name, { bug }] of Object.entries(canaries)) console.log(`canary ${name}: ${bug}`);
  process.exit(0);
}

function refuse(text: string): never {
  console.error(text);
  process.exit(2);
}

if (values.layout && !layouts.includes(values.layout as Layout))
  refuse(`There is no layout ${values.layout}; there are ${layouts.join(", ")}`);
const layout = (values.layout as Layout | undefined) ?? null;
if (values.canary) {
  const canary = canaries[values.canary];
  if (!canary) refuse(`There is no canary ${values.canary}; there are ${Object.keys(canaries).join(", ")}`);
  canary.plant();
}
if (values.models) {
  const schedules = Number(values.models);
  const seed = Number(values.from);
  const begun = performance.now();
  for (const model of models) {
    const runs = Math.ceil(schedules * model.share);
    model.run(runs, seed);
    console.log(`${model.name}: ${runs} schedules from seed ${seed}, 0 divergences`);
  }
  console.log(`in ${((performance.now() - begun) / 1000).toFixed(1)} s`);
  process.exit(0);
}

const shareMax = 2000;

const allowed = parseFaults(values.faults);

// Nodes that keep their memory have named segments: in a folder of their own, which goes with this process.
const directory = mkdtempSync("/dev/shm/memblast-sim-");
process.env.MEMBLAST_DIR = directory;
process.on("exit", () => rmSync(directory, { recursive: true, force: true }));
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));

if (values.seed) {
  const outcome = play(Number(values.seed), allowed, layout);
  console.log(JSON.stringify(outcome, null, 2));
  process.exit(outcome.violation === null ? 0 : 1);
}

const from = Number(values.from);
const seeds = Number(values.seeds);
const jobs = Math.max(1, Math.min(Number(values.jobs), seeds));
const begun = performance.now();

async function playAll(): Promise<Sum> {
  const sum = emptySum();
  for (let seed = from; seed < from + seeds; seed++) {
    if (seed % 20 === 0) await Bun.sleep(0); // signals are heard
    addOutcome(sum, play(seed, allowed, layout));
    if (values.canary && sum.violations.length) break; // found
  }
  return sum;
}

/** Equal shares, as many for each job, and large ones, because a young process is slow: its code is not compiled yet. */
async function dealOut(): Promise<Sum> {
  const sum = emptySum();
  const share = Math.ceil(seeds / (jobs * Math.ceil(seeds / (jobs * shareMax))));
  let next = from;
  const worker = async () => {
    while (next < from + seeds) {
      const first = next;
      next = Math.min(first + share, from + seeds);
      addSum(sum, await playElsewhere(first, next - first));
    }
  };
  await Promise.all(Array.from({ length: jobs }, worker));
  return sum;
}

async function playElsewhere(first: number, count: number): Promise<Sum> {
  const args = ["--seeds", String(count), "--from", String(first), "--jobs", "1", "--json"];
  args.push("--faults", values.faults);
  for (const name of ["canary", "layout"] as const) if (values[name]) args.push(`--${name}`, values[name]);
  const child = Bun.spawn([process.execPath, import.meta.path, ...args], {
    stdout: "pipe",
    stderr: "inherit",
  });
  const text = await new Response(child.stdout).text();
  try {
    return JSON.parse(text) as Sum;
  } catch {
    return refuse(`The process with seeds ${first} to ${first + count - 1} died: ${text}`);
  }
}

const sum = jobs === 1 ? await playAll() : await dealOut();
console.log(values.json ? JSON.stringify(sum) : sumText(sum, (performance.now() - begun) / 1000));
process.exit(sum.violations.length ? 1 : 0);
