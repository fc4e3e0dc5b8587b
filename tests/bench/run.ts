/** `bun run bench`: figures beside the raw limit of the same run. */
import { cpus } from "node:os";
import { commandLine, flag, number, optionalText } from "../../examples/options.ts";
import { libraryKind } from "../../src/memory/library.ts";
import { hashRowName } from "../../src/memory/digest.ts";
import { duckdbBenches } from "./duckdb.ts";
import { type Bench, type Figure, measure } from "./measure.ts";
import { memoryBenches } from "./memory.ts";
import { networkBenches } from "./network.ts";
import { verificationBenches } from "./verification.ts";

const benches = [...memoryBenches, ...verificationBenches, ...networkBenches, ...duckdbBenches];

const options = commandLine({
  command: "bun run bench",
  about: "Figures beside the raw limit of the same run: all of them take about 30 s.",
  flags: {
    only: optionalText("only this figure, or these with commas between them", "NAME"),
    rounds: number(15, "value and limit are measured in turn, this often", "N", { min: 1 }),
    ms: number(100, "what one measurement takes, milliseconds", "N", { min: 1, whole: false }),
    json: optionalText("writes [{ name, value, unit, limit, ratio, aim, spread }] to this file", "FILE"),
    list: flag("lists the figures and ends"),
  },
  examples: ["bun run bench", "bun run bench --only snapshot-4KB,snapshot-1MB --json figures.json"],
});

const chosen = choose(options.only);
if (options.list) {
  for (const { name, against } of chosen) console.log(`${name.padEnd(14)}  against ${against}`);
  process.exit(0);
}

function choose(only: string | undefined): readonly Bench[] {
  const names = only?.split(",");
  for (const name of names ?? []) {
    if (benches.some((bench) => bench.name === name)) continue;
    console.error(
      `bun run bench: there is no ${name}; there is ${benches.map((bench) => bench.name).join(", ")}`,
    );
    process.exit(2);
  }
  return names ? benches.filter(({ name }) => names.includes(name)) : benches;
}

function short(value: number): string {
  if (value >= 1e6) return `${(value / 1e6).toFixed(2)} M`;
  if (value >= 1e4) return `${(value / 1e3).toFixed(1)} k`;
  return value >= 100 ? value.toFixed(0) : value.toFixed(2);
}

function line({ name, value, unit, limit, ratio, aim, aimOf, spread, against }: Figure): string {
  const reached = (aimOf === "ratio" ? ratio : value) >= aim;
  const aimText = aimOf === "ratio" ? aim.toFixed(2) : `${short(aim)} ${unit}`;
  const cells = [
    name.padEnd(14),
    `${short(value)} ${unit}`.padStart(18),
    `limit ${short(limit)}`.padStart(16),
    `ratio ${ratio.toFixed(2)}`.padStart(11),
    `spread ${spread.toFixed(2)}`.padStart(12),
    `aim ${aimText}${reached ? "" : " not reached"}`,
  ];
  return `${cells.join("  ")}\n${" ".repeat(16)}against ${against}`;
}

console.log(
  `${cpus()[0]?.model}, ${cpus().length} cores, Bun ${Bun.version}; library ${libraryKind}, ${hashRowName()}`,
);
const figures: Figure[] = [];
for (const bench of chosen) {
  const figure = await measure(bench, options.rounds, options.ms);
  figures.push(figure);
  console.log(line(figure));
}
if (options.json) await Bun.write(options.json, `${JSON.stringify(figures, null, 2)}\n`);
