#!/usr/bin/env bun
/** `bun run faults`: tries every fault of the catalogue, and says what came of it. */
import { cpus } from "node:os";
import { commandLine, flag, number, optionalText } from "../../examples/options.ts";
import { paint, wantsColour } from "../../examples/terminal.ts";
import { libraryKind } from "../../src/memory/library.ts";
import { catalogue } from "./catalogue.ts";
import { count, type Fault } from "./fault.ts";
import { type HazardLine, tableOf } from "./hazards.ts";
import { Progress } from "./progress.ts";
import { type Result, Session } from "./session.ts";

const options = commandLine({
  command: "bun run faults",
  about:
    "Kills, stops, starves and cheats memblast in every way of the catalogue; the status is 1 if it shows anything that was\n" +
    "not committed, loses what was, waits for the dead, crashes or leaks.",
  flags: {
    only: optionalText("only this fault, or these with commas between them", "ID"),
    seconds: number(0, "a budget for all of them; 0: the full amounts", "N", { max: 86_400, whole: false }),
    seed: number(20_261_123, "for everything random", "N", { max: 2 ** 32 - 1 }),
    json: optionalText(
      "writes [{ id, fault, injections, violations, figure, skipped? }] to this file",
      "FILE",
    ),
    list: flag("lists the faults and ends"),
  },
  examples: [
    "bun run faults",
    "bun run faults --seconds 60 --json faults.json",
    "bun run faults --only F01,F02 --seed 7",
  ],
});

const ink = paint(wantsColour(process.stdout.isTTY, process.env));
const nameWidth = Math.max(...catalogue.map(({ name }) => name.length));
const chosen = choose(options.only);
if (options.list) {
  for (const { id, name } of chosen) console.log(`${id}  ${name}`);
  process.exit(0);
}

console.log(
  `${cpus()[0]?.model}, ${cpus().length} cores, Bun ${Bun.version}, library ${libraryKind}; seed ${options.seed}\n`,
);
console.log(ink.dim(`id   ${"fault".padEnd(nameWidth)}  injections  violations  figure`));
const results: Result[] = [];
using session = new Session(options.seed);
using progress = new Progress();
process.on("SIGINT", () => {
  progress[Symbol.dispose]();
  session[Symbol.dispose]();
  process.exit(130);
});
const start = performance.now();
for (const [i, fault] of chosen.entries()) {
  const seconds = secondsFor(chosen.slice(i));
  progress.begin(fault.id, fault.name, seconds);
  const result = await session.run(fault, seconds, (text) => progress.say(text));
  progress.end();
  results.push(result);
  show(result);
}
const bad = results.filter(({ violations }) => violations > 0);
const skipped = results.filter((result) => result.skipped).length;
const tried = results.length - skipped;
const total = results.reduce((sum, { injections }) => sum + injections, 0);
const seconds = (performance.now() - start) / 1000;
console.log(
  `\n${tried === 1 ? "1 fault" : `${tried} faults`}, ${count(total)} injections, ${skipped} skipped, ${bad.length} with violations; ` +
    `${seconds.toFixed(0)} s`,
);
showHazards(tableOf(results));
if (options.json) await Bun.write(options.json, `${JSON.stringify(results.map(published), null, 2)}\n`);
progress[Symbol.dispose](); // an exit disposes of nothing
session[Symbol.dispose]();
process.exit(bad.length > 0 ? 1 : 0);

function choose(only: string | undefined): readonly Fault[] {
  const ids = only?.toUpperCase().split(",");
  for (const id of ids ?? []) {
    if (catalogue.some((fault) => fault.id === id)) continue;
    console.error(
      `bun run faults: there is no ${id}; there is ${catalogue.map((fault) => fault.id).join(", ")}`,
    );
    process.exit(2);
  }
  return ids ? catalogue.filter(({ id }) => ids.includes(id)) : catalogue;
}

/** The next fault's part of what is left of the budget; without one, far more than the full amount needs. */
function secondsFor(left: readonly Fault[]): number {
  const wanted = left.reduce((sum, fault) => sum + fault.seconds, 0);
  const next = left[0]!.seconds;
  if (options.seconds === 0) return left[0]!.isEndless ? next : 10 * next + 60;
  return (Math.max(0, options.seconds - (performance.now() - start) / 1000) * next) / wanted;
}

function show({ id, fault, injections, violations, figure, skipped, messages }: Result): void {
  const cells = [
    id.padEnd(3),
    fault.padEnd(nameWidth),
    count(injections).padStart(10),
    String(violations).padStart(10),
  ];
  const line = cells.join("  ");
  if (skipped) console.log(ink.dim(`${id.padEnd(3)}  ${fault.padEnd(nameWidth)}  skipped: ${skipped}`));
  else console.log(`${violations > 0 ? ink.down(line) : line}  ${figure}`);
  for (const message of messages) console.log(`     ${ink.down(message)}`);
}

/** What is accepted of each hazard, and below it what was measured; of some rows only where these measure something. */
function showHazards(lines: readonly HazardLine[]): void {
  const shown = options.only
    ? lines.filter(({ measured, hazard }) => hazard.row && measured.length > 0)
    : lines;
  if (shown.length > 0) console.log("\nNetwork hazards: what is accepted, and what was measured\n");
  for (const { hazard, verdict, measured } of shown) {
    const colour = verdict === "reached" ? ink.up : verdict === "not reached" ? ink.down : ink.dim;
    const tests = hazard.tests ? [`see ${hazard.tests}`] : [];
    console.log(`${hazard.id.padEnd(4)} ${hazard.name}: ${hazard.accepted}`);
    console.log(`     ${colour(verdict)}: ${[...measured, ...tests].join("; ")}`);
  }
}

function published({ id, fault, injections, violations, figure, skipped }: Result) {
  return { id, fault, injections, violations, figure, ...(skipped ? { skipped } : {}) };
}
