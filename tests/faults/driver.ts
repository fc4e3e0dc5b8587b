import { mkdirSync, readdirSync, renameSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { findCompiler } from "../../ffi/build.ts";
import type { Trial } from "./fault.ts";
import { howItEnded, run } from "./programs.ts";

const ffi = join(import.meta.dir, "../../ffi");
const sources = join(import.meta.dir, "children");
const output = join(ffi, "build/faults-driver");

function newestSource(): number {
  const files = [ffi, sources].flatMap((folder) =>
    readdirSync(folder)
      .filter((file) => /\.[ch]$/.test(file))
      .map((file) => statSync(join(folder, file)).mtimeMs),
  );
  return Math.max(...files);
}

let built: string | null = null;

/** The driver's executable, compiled if its sources or the library's are newer. Takes about two seconds. */
export function driverPath(): string {
  if (built) return built;
  const there = statSync(output, { throwIfNoEntry: false });
  if (!there || there.mtimeMs < newestSource()) compileDriver(ffi, output, "-O2");
  return (built = output);
}

/** Compiles the driver with the library in another folder, to a temporary name first: others may run the old one meanwhile. */
export function compileDriver(library: string, executable: string, optimise: "-O1" | "-O2"): void {
  const compiler = findCompiler();
  if (!compiler) throw new Error("no C compiler");
  mkdirSync(dirname(executable), { recursive: true });
  const temporary = `${executable}.${process.pid}`;
  const flags =
    "-std=gnu11 -Wall -Wextra -DMB_CRASH_POINTS -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc".split(" ");
  const result = Bun.spawnSync(
    [compiler, optimise, ...flags, `-I${library}`, "-o", temporary, join(sources, "driver.c"), "-lpthread"],
    { stderr: "pipe" },
  );
  if (!result.success) throw new Error(`the driver does not compile:\n${result.stderr.toString()}`);
  renameSync(temporary, executable);
}

export interface DriverReport {
  /** What the driver prints as `name=value`. */
  readonly figures: Readonly<Record<string, number>>;
}

/** The driver's command line: `count` injections at most, in the time that is left. */
export function driverCommand(
  trial: Trial,
  command: string,
  path: string,
  amount = 0,
  args: number[] = [],
): string[] {
  const seconds = Math.max(0.2, Math.min(1e6, trial.secondsLeft));
  return [driverPath(), command, path, trial.seed, amount, seconds, ...args].map(String);
}

/** Reads what the driver printed; its violations become the trial's. */
export function readReport(trial: Trial, stdout: string): DriverReport {
  const figures: Record<string, number> = {};
  for (const line of stdout.split("\n")) {
    if (line.startsWith("violation ")) trial.violate(line.slice("violation ".length));
    const [, name, value] = /^(\w+)=(.*)$/.exec(line) ?? [];
    if (name) figures[name] = Number(value);
  }
  const told = Math.min(figures["violations"] ?? 0, 12);
  trial.violationCount += (figures["violations"] ?? 0) - told; // the driver tells the first twelve only
  return { figures };
}

/** Runs one command of the driver to its end. */
export async function drive(
  trial: Trial,
  command: string,
  options: { amount?: number; args?: number[]; executable?: string; env?: Record<string, string> } = {},
): Promise<DriverReport["figures"]> {
  const line = driverCommand(trial, command, trial.path("driver"), options.amount, options.args);
  if (options.executable) line[0] = options.executable;
  const ended = await run(trial, line, options.env ? { env: options.env } : {});
  if (ended.status !== 0) trial.violate(`the driver's ${command} ${howItEnded(ended)}`);
  return readReport(trial, ended.stdout).figures;
}
