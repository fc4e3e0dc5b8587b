/**
 * Figures beside the raw limit of the same run.
 *
 *   bun run bench                      all, about 30 s
 *   bun run bench --only snapshot-1MB  one; may be repeated
 *   bun run bench --json FILE          [{ name, value, unit, limit, ratio, aim, spread }]
 */
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { libraryKind } from "../../src/memory/library.ts";
import { hashRowName } from "../../src/memory/digest.ts";
import { duckdbBenches } from "./duckdb.ts";
import { type Figure, measure } from "./measure.ts";
import { memoryBenches } from "./memory.ts";
import { networkBenches } from "./network.ts";
import { verificationBenches } from "./verification.ts";

const benches = [...memoryBenches, ...verificationBenches, ...networkBenches, ...duckdbBenches];

const { values } = parseArgs({
  options: {
    only: { type: "string", multiple: true },
    json: { type: "string" },
    rounds: { type: "string", default: "15" },
    ms: { type: "string", default: "100" },
    help: { type: "boolean", short: "h" },
  },
});

if (values.help) {
  console.log("bun run bench [--only NAME]... [--json FILE] [--rounds 15] [--ms 100]");
  console.log(`names: ${benches.map((bench) => bench.name).join(", ")}`);
  process.exit(0);
}

const unknown = values.only?.filter((name) => !benches.some((bench) => bench.name === name));
if (unknown?.length) {
  console.error(
    `There is no bench ${unknown.join(", ")}; there are ${benches.map((bench) => bench.name).join(", ")}`,
  );
  process.exit(2);
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
for (const bench of benches) {
  if (values.only && !values.only.includes(bench.name)) continue;
  const figure = await measure(bench, Number(values.rounds), Number(values.ms));
  figures.push(figure);
  console.log(line(figure));
}
if (values.json) await Bun.write(values.json, `${JSON.stringify(figures, null, 2)}\n`);
