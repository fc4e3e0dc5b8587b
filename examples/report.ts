/** What an example program tells the runner, and how the runner judges it. Pure. */
import { z } from "zod";

/** The final state of one program, taken while nothing changes any more. */
export const report = z.object({
  /** Newest version seen, per address that the runner asked about. */
  versions: z.record(z.string(), z.number()),
  /** SHA-256 of array bytes, by a name on which all programs agree: `main`, `ticker_2`. Equal bytes, equal text. */
  digests: z.record(z.string(), z.string()).default({}),
  /** Computed figures, by a name on which all programs agree; equal within the rounding of a sum. NaN travels as null. */
  values: z.record(z.string(), z.number().nullable()).default({}),
  /** What the program itself found wrong, as sentences. */
  problems: z.array(z.string()).default([]),
});

export type Report = z.infer<typeof report>;

/** Per listening address the version that everyone who follows it has to reach before it reports. */
export type Goal = Readonly<Record<string, number>>;

/** Program to runner. */
export const fromProgram = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("ready"), addresses: z.array(z.string()) }),
  z.object({ kind: z.literal("panel"), lines: z.array(z.string()) }),
  z.object({ kind: z.literal("line"), line: z.string() }),
  z.object({ kind: z.literal("quiet"), version: z.number() }),
  z.object({ kind: z.literal("report"), report }),
  z.object({ kind: z.literal("failed"), message: z.string() }),
]);

export type FromProgram = z.input<typeof fromProgram>;

/** Runner to program: stop changing anything; then catch up to the goal and report. */
export type FromRunner = { kind: "quiet" } | { kind: "report"; goal: Goal };

export interface Verdict {
  readonly passed: boolean;
  readonly figure: string;
}

/**
 * Every name that two or more programs report must have one value in all of them, at least one name must be shared,
 * and at least `versionsMin` versions must have been made.
 */
export function judge(reports: ReadonlyMap<string, Report>, versionsMin: number): Verdict {
  const problems = [...reports].flatMap(([label, { problems }]) =>
    problems.map((text) => `${label}: ${text}`),
  );
  const digests = compare(reports, "digests", (a, b) => a === b);
  const values = compare(reports, "values", near);
  problems.push(...digests.different, ...values.different);
  const version = Math.max(0, ...[...reports.values()].flatMap(({ versions }) => Object.values(versions)));
  if (version < versionsMin) problems.push(`only ${version} of at least ${versionsMin} versions reached`);
  if (digests.equal + values.equal === 0) problems.push("no two programs reported the same thing");
  if (problems.length > 0) return { passed: false, figure: problems.join("; ") };
  return { passed: true, figure: praise(reports.size, version, digests, values) };
}

function praise(programs: number, version: number, digests: Compared, values: Compared): string {
  const arrays = `${digests.equal} array${digests.equal === 1 ? "" : "s"} bit-equal in ${programs} programs`;
  const sums = values.equal > 0 ? `, ${values.equal} computed values equal` : "";
  return `version ${version} reached, ${arrays}${sums}${digests.sample ? `, sha256 ${digests.sample.slice(0, 12)}` : ""}`;
}

interface Compared {
  readonly equal: number;
  readonly different: string[];
  readonly sample: string | undefined;
}

function compare<K extends "digests" | "values">(
  reports: ReadonlyMap<string, Report>,
  kind: K,
  same: (a: Report[K][string], b: Report[K][string]) => boolean,
): Compared {
  const first = new Map<string, { label: string; value: Report[K][string] }>();
  const shared = new Set<string>();
  const different: string[] = [];
  for (const [label, one] of reports) {
    for (const [name, value] of Object.entries(one[kind]) as [string, Report[K][string]][]) {
      const other = first.get(name);
      if (!other) first.set(name, { label, value });
      else if (same(other.value, value)) shared.add(name);
      else different.push(`${name} is ${show(other.value)} in ${other.label} but ${show(value)} in ${label}`);
    }
  }
  const sample = [...shared].map((name) => first.get(name)?.value).find((value) => typeof value === "string");
  return { equal: shared.size, different, sample: sample as string | undefined };
}

function near(a: number | null, b: number | null): boolean {
  if (a === null || b === null) return a === b;
  return Math.abs(a - b) <= 1e-9 * Math.max(1, Math.abs(a), Math.abs(b));
}

function show(value: string | number | null): string {
  return typeof value === "string" ? value.slice(0, 12) : String(value);
}
