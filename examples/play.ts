/** Runs one example: its programs as child processes, for a while, then compares what they hold. */
import { resolve } from "node:path";
import { Child } from "./child.ts";
import { judge, type Report, type Verdict } from "./report.ts";
import type { Example } from "./registry.ts";

export interface Stage {
  /** The folder in which the programs' files are. */
  readonly folder: string;
  /** Called when all programs are ready; resolves when the example has run for long enough. */
  enough(): Promise<unknown>;
  /** `panel`: programs send blocks that refresh in place, else a line now and then. */
  readonly view: "panel" | "lines";
  readonly colour: boolean;
  /** Of the terminal, for the blocks of all programs together. */
  readonly size?: { readonly columns: number; readonly lines: number };
  /** How long a program may take to end when asked; three seconds if left out. */
  readonly graceMs?: number;
  panel(label: string, lines: readonly string[]): void;
  line(label: string, line: string): void;
}

export interface Result extends Verdict {
  readonly name: string;
  readonly seconds: number;
}

/** Never rejects: whatever goes wrong is a failed result with a sentence. All children have ended when it resolves. */
export async function play(example: Example, stage: Stage): Promise<Result> {
  const start = performance.now();
  const children: Child[] = [];
  let verdict: Verdict;
  try {
    const reports = await perform(example, stage, children);
    verdict = judge(reports, example.versionsMin);
  } catch (error) {
    verdict = { passed: false, figure: (error as Error).message };
  }
  // The followers first, so that none of them sees its server go.
  const ends: (string | undefined)[] = [];
  for (const child of children.toReversed()) ends.push(await child.stop(stage.graceMs));
  const bad = ends.filter((end) => end !== undefined);
  if (verdict.passed && bad.length > 0) verdict = { passed: false, figure: bad.join("; ") };
  return { name: example.name, ...verdict, seconds: Math.round(performance.now() - start) / 1000 };
}

async function perform(example: Example, stage: Stage, children: Child[]): Promise<Map<string, Report>> {
  const listening = new Map<Child, string[]>();
  for (const { label, file, args } of example.programs) {
    const servers = [...listening.values()].flat();
    const child = new Child(
      label,
      [process.execPath, resolve(stage.folder, file), ...args(servers)],
      env(stage, example.programs.length),
      {
        panel: (lines) => stage.panel(label, lines),
        line: (line) => stage.line(label, line),
      },
    );
    children.push(child);
    listening.set(child, await child.ready());
  }
  await Promise.race([stage.enough(), ...children.map((child) => child.broken)]);
  const goal: Record<string, number> = {};
  for (const child of children) {
    const version = await child.quiet();
    for (const address of listening.get(child) ?? []) goal[address] = version;
  }
  const reports = await Promise.all(children.map((child) => child.report(goal)));
  return new Map(children.map((child, i) => [child.label, reports[i] as Report]));
}

function env({ view, colour, size }: Stage, programs: number): Record<string, string | undefined> {
  // Never both: Bun prints a warning about it, and takes an empty FORCE_COLOR for a wish.
  const ink = colour ? { FORCE_COLOR: "1", NO_COLOR: undefined } : { FORCE_COLOR: undefined, NO_COLOR: "1" };
  const room = size && { COLUMNS: `${size.columns}`, LINES: `${linesEach(size.lines, programs)}` };
  return { ...process.env, MEMBLAST_VIEW: view, ...room, ...ink };
}

/** Lines for each program's block below its title, so that all fit once the first one, the server, is cut to its head. */
function linesEach(lines: number, programs: number): number {
  return Math.max(8, Math.floor((lines - 4) / Math.max(1, programs - 1)) - 2);
}
