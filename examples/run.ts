#!/usr/bin/env bun
/** `bun run examples`: runs the examples, shows them, checks that all their programs hold the same values. */
import { commandLine, number, optionalText, flag } from "./options.ts";
import { play, type Result } from "./play.ts";
import { examples as rows, type Example } from "./registry.ts";
import { paint, Panel, stack, wantsColour, type Paint } from "./terminal.ts";

const options = commandLine({
  command: "bun run examples",
  about:
    "Runs each example: a server with its clients, for a few seconds; then all must hold the same values.",
  operand: { name: "NAME...", help: "only these; a single one runs until Ctrl-C unless --seconds is given" },
  flags: {
    seconds: number(3, "how long each runs, in seconds", "N", { min: 0, max: 86_400, whole: false }),
    json: optionalText("writes [{ name, passed, figure, seconds }] to this file", "FILE"),
    list: flag("lists the examples and ends"),
  },
  examples: [
    "bun run examples",
    "bun run examples tickers",
    "bun run examples random tickers --seconds 10 --json out.json",
  ],
});

const isTerminal = process.stdout.isTTY;
const colour = wantsColour(isTerminal, process.env);
const ink = paint(colour);
const nameWidth = Math.max(...rows.map(({ name }) => name.length));

const chosen = choose(options.operands);
for (const { name, about } of chosen) console.log(`${ink.bold(name.padEnd(nameWidth))}  ${about}`);
if (options.list) process.exit(0);

const interrupted = Promise.withResolvers<void>();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, interrupted.resolve);
let isInterrupted = false;
void interrupted.promise.then(() => (isInterrupted = true));

const untilStopped =
  options.operands.length === 1 && !process.argv.some((text) => text.startsWith("--seconds"));
const results: Result[] = [];
for (const example of chosen) {
  if (isInterrupted) break;
  results.push(await present(example));
}
console.log();
for (const result of results) console.log(summary(result, ink));
if (options.json) await Bun.write(options.json, `${JSON.stringify(results, null, 2)}\n`);
process.exit(results.length > 0 && results.every(({ passed }) => passed) ? 0 : 1);

function choose(names: readonly string[]): readonly Example[] {
  for (const name of names) {
    if (rows.some((row) => row.name === name)) continue;
    console.error(
      `bun run examples: there is no "${name}"; there is ${rows.map((row) => row.name).join(", ")}`,
    );
    process.exit(2);
  }
  return names.length === 0 ? rows : rows.filter(({ name }) => names.includes(name));
}

async function present(example: Example): Promise<Result> {
  const title = `${example.name}: ${untilStopped ? "until Ctrl-C" : `${options.seconds} s`}`;
  console.log(`\n${ink.bold(title)}`);
  using panel = isTerminal ? new Panel(process.stdout) : undefined;
  const blocks = new Map<string, readonly string[]>(example.programs.map(({ label }) => [label, []]));
  return await play(example, {
    folder: import.meta.dir,
    enough: () =>
      untilStopped
        ? interrupted.promise
        : Promise.race([interrupted.promise, Bun.sleep(options.seconds * 1000)]),
    view: isTerminal ? "panel" : "lines",
    colour,
    ...(isTerminal && { size: { columns: process.stdout.columns, lines: process.stdout.rows - 1 } }),
    panel(label, lines) {
      blocks.set(label, lines);
      panel?.draw(stack(blocks, (process.stdout.rows ?? 40) - 1, ink));
    },
    line(label, line) {
      if (panel) panel.say(`${label}: ${line}`);
      else console.log(`  ${label}: ${line}`);
    },
  });
}

function summary({ name, passed, figure, seconds }: Result, ink: Paint): string {
  const word = passed ? ink.up("passed") : ink.down("failed");
  return `${word}  ${name.padEnd(nameWidth)}  ${figure}  ${ink.dim(`${seconds.toFixed(1)} s`)}`;
}
