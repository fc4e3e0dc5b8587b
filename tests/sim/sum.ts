import { storyText } from "./trace.ts";
import type { Outcome } from "./world.ts";

/** Many worlds. */
export interface Sum {
  worlds: number;
  readonly layouts: Record<string, number>;
  readonly counts: Record<string, number>;
  readonly violations: Outcome[];
}

export function emptySum(): Sum {
  return { worlds: 0, layouts: {}, counts: {}, violations: [] };
}

/** Counts are added up; of those that end in "Most" the greatest counts. */
function addCounts(into: Record<string, number>, from: Readonly<Record<string, number>>): void {
  for (const [name, count] of Object.entries(from)) {
    const before = into[name] ?? 0;
    into[name] = name.endsWith("Most") ? Math.max(before, count) : before + count;
  }
}

export function addOutcome(sum: Sum, outcome: Outcome): void {
  sum.worlds++;
  addCounts(sum.layouts, { [outcome.layout]: 1 });
  addCounts(sum.counts, outcome.counts);
  if (outcome.violation !== null) sum.violations.push(outcome);
}

export function addSum(sum: Sum, part: Sum): void {
  sum.worlds += part.worlds;
  addCounts(sum.layouts, part.layouts);
  addCounts(sum.counts, part.counts);
  sum.violations.push(...part.violations);
}

function list(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts)
    .map(([name, count]) => `${count} ${name}`)
    .join(", ");
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/** One world, with what happened in it. */
export function outcomeText({ seed, layout, violation, counts, story }: Outcome): string {
  const end = violation === null ? "0 violations" : `violation: ${violation}`;
  return [`world ${seed} (${layout})`, story ? storyText(story) : "", list(counts), end].join("\n\n");
}

export function sumText(sum: Sum, seconds: number): string {
  const { jobs, virtualMs, ...counts } = sum.counts;
  const lines = [
    `${plural(sum.worlds, "world")} (${list(sum.layouts)}), ${Math.round((virtualMs ?? 0) / 1000)} s of virtual time in ${seconds.toFixed(1)} s ` +
      `(${Math.round((sum.worlds / seconds) * 3600)} worlds an hour): ${plural(sum.violations.length, "violation")}`,
    list(counts),
  ];
  for (const { seed, layout, violation } of sum.violations.slice(0, 20))
    lines.push(`seed ${seed} (${layout}): ${violation}`);
  return lines.join("\n");
}
