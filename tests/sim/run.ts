/** `bun run sim`: many worlds of real nodes on simulated links, each from one seed. */
import { mkdtempSync, rmSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { commandLine, number, optionalText, text } from "../../examples/options.ts";
import { Panel } from "../../examples/terminal.ts";
import { canaries } from "./canary.ts";
import { faults, parseFaults } from "./faults.ts";
import { layouts, type Layout } from "./layout.ts";
import { models } from "./models.ts";
import { addOutcome, addSum, emptySum, outcomeText, type Sum, sumText } from "./sum.ts";
import { play } from "./world.ts";

/** Worlds that nobody has seen yet: others every day. */
const todays = 1 + Math.floor(Date.now() / 86_400_000) * 100_000;

const options = commandLine({
  command: "bun run sim",
  about:
    "Plays worlds of a few real nodes on simulated links: a storm of faults, calm, and then everybody must have what he follows. The\n" +
    "status is 1 and the seeds are told where one has not, or saw on the way what was never committed. With a planted bug it is 0 where\n" +
    "that is found, and 1 where it is not.",
  flags: {
    seeds: number(2000, "how many worlds", "N", { min: 1 }),
    from: number(todays, "the first seed", "N"),
    seed: optionalText("one world alone, with what happened in it", "N"),
    jobs: number(Math.min(8, cpus().length), "processes", "N", { min: 1, max: 256 }),
    faults: text("all", `all, none, or some of ${faults.join(",")}`, "NAMES"),
    layout: optionalText(`only ${layouts.join(" or ")}`, "NAME"),
    canary: optionalText(
      `with a planted bug, which must be found: ${Object.keys(canaries).join(", ")}`,
      "NAME",
    ),
    models: number(0, "so many schedules of the models of conflation, reconnection and mesh instead", "N"),
    json: optionalText(
      "writes { worlds, layouts, counts, violations }, or of one world what happened, to this file",
      "FILE",
    ),
  },
  examples: [
    "bun run sim --seeds 100000",
    "bun run sim --seed 4711",
    "bun run sim --canary torn",
    "bun run sim --faults cut,flip --layout mesh",
    "bun run sim --models 100000",
  ],
});

function refuse(text: string): never {
  console.error(`bun run sim: ${text}`);
  process.exit(2);
}

function chosenFaults() {
  try {
    return parseFaults(options.faults);
  } catch (error) {
    return refuse((error as Error).message);
  }
}

if (options.layout && !layouts.includes(options.layout as Layout))
  refuse(`There is no layout ${options.layout}; there are ${layouts.join(", ")}`);
if (options.seed && !/^\d+$/.test(options.seed)) refuse(`--seed is a whole number, not ${options.seed}`);
const layout = (options.layout as Layout | undefined) ?? null;
if (options.canary) {
  const canary = canaries[options.canary];
  if (!canary) refuse(`There is no canary ${options.canary}; there are ${Object.keys(canaries).join(", ")}`);
  canary.plant();
}
if (options.models) {
  const { models: schedules, from: seed } = options;
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

const allowed = chosenFaults();

// Nodes that keep their memory have named segments: in a folder of their own, which goes with this process.
const directory = mkdtempSync("/dev/shm/memblast-sim-");
process.env["MEMBLAST_DIR"] = directory;
process.on("exit", () => rmSync(directory, { recursive: true, force: true }));
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));

if (options.seed) {
  const outcome = play(Number(options.seed), allowed, layout, true);
  await write(outcome);
  console.log(outcomeText(outcome));
  const seeds = outcome.violation === null ? [] : [outcome.seed];
  if (options.canary) console.log(`\n${canaryText(options.canary, seeds)}`);
  process.exit(statusOf(seeds.length));
}

async function write(result: object): Promise<void> {
  if (options.json) await Bun.write(options.json, `${JSON.stringify(result, null, 2)}\n`);
}

/** A planted bug is there to be found. */
function statusOf(violations: number): number {
  return violations > 0 === Boolean(options.canary) ? 0 : 1;
}

function canaryText(name: string, seeds: readonly number[]): string {
  const { bug } = canaries[name]!;
  if (seeds.length === 0) return `not found: ${name} (${bug})`;
  return `found: ${name} (${bug}), by ${seeds.length === 1 ? "seed" : "seeds"} ${seeds.join(", ")}`;
}

const { from, seeds } = options;
const jobs = Math.min(options.jobs, seeds);
const begun = performance.now();

async function playAll(): Promise<Sum> {
  const sum = emptySum();
  for (let seed = from; seed < from + seeds; seed++) {
    if (seed % 20 === 0) await Bun.sleep(0); // signals are heard
    addOutcome(sum, play(seed, allowed, layout));
    if (isFound(sum)) break;
  }
  return sum;
}

/** One world that shows the planted bug is enough. */
function isFound({ violations }: Sum): boolean {
  return options.canary !== undefined && violations.length > 0;
}

/** Equal shares, as many for each job, and large ones, because a young process is slow: its code is not compiled yet. */
async function dealOut(): Promise<Sum> {
  const sum = emptySum();
  const share = Math.ceil(seeds / (jobs * Math.ceil(seeds / (jobs * shareMax))));
  let next = from;
  const worker = async () => {
    while (next < from + seeds && !isFound(sum)) {
      const first = next;
      next = Math.min(first + share, from + seeds);
      addSum(sum, await playElsewhere(first, next - first));
      progress?.draw([progressText(sum)]);
    }
  };
  await Promise.all(Array.from({ length: jobs }, worker));
  return sum;
}

async function playElsewhere(first: number, count: number): Promise<Sum> {
  const file = join(directory, `${first}.json`);
  const args = ["--seeds", String(count), "--from", String(first), "--jobs", "1", "--json", file];
  args.push("--faults", options.faults);
  for (const name of ["canary", "layout"] as const) if (options[name]) args.push(`--${name}`, options[name]);
  const child = Bun.spawn([process.execPath, import.meta.path, ...args], {
    stdout: "pipe",
    stderr: "inherit",
  });
  const text = await new Response(child.stdout).text();
  try {
    return (await Bun.file(file).json()) as Sum;
  } catch {
    return refuse(`The process with seeds ${first} to ${first + count - 1} died: ${text}`);
  }
}

function progressText({ worlds, violations }: Sum): string {
  const left = ((performance.now() - begun) / worlds) * (seeds - worlds);
  return `${worlds} of ${seeds} worlds, ${violations.length} violations, about ${(left / 1000).toFixed(0)} s more`;
}

const progress = process.stderr.isTTY && jobs > 1 ? new Panel(process.stderr) : null;
progress?.draw([`${seeds} worlds from ${from} on`]);
const sum = jobs === 1 ? await playAll() : await dealOut();
progress?.draw([]);
progress?.[Symbol.dispose]();
await write(sum);
console.log(sumText(sum, (performance.now() - begun) / 1000));
if (options.canary)
  console.log(
    canaryText(
      options.canary,
      sum.violations.map(({ seed }) => seed),
    ),
  );
process.exit(statusOf(sum.violations.length));
