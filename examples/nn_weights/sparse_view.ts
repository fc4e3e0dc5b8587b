/** What the sparse bench shows. */
import type { View } from "../program.ts";
import { decimal, table, type Paint } from "../terminal.ts";
import { type Step, summary } from "./sparse_step.ts";

const mib = (bytes: number) => `${decimal(bytes / 2 ** 20, 2)} MiB`;

export function benchView(steps: readonly Step[], heading: string, ink: Paint): View {
  const last = steps.at(-1) as Step;
  return {
    lines: () => benchTable(steps, heading, ink),
    line: () =>
      `step ${steps.length}, ${last.kind}: ${mib(last.changedBytes)} changed, ${mib(last.wireBytes)} on the wire, ` +
      `commit ${decimal(last.commitMs, 1)} ms, at the follower after ${decimal(last.arrivalMs, 1)} ms`,
    json: () => last,
  };
}

export function benchTable(steps: readonly Step[], heading: string, ink: Paint): string[] {
  const rows = summary(steps);
  const all = rows.find(({ kind }) => kind === "everything");
  const times = (pick: (step: Step) => number, one: Step) =>
    all ? `${decimal(pick(all) / pick(one), 1)}x` : "–";
  const titles = ["changed", "on the wire", "less", "commit", "at the follower", "faster"];
  return [
    `${heading}, medians of ${steps.length} steps`,
    ...table(
      [{ title: "what", align: "left" }, ...titles.map((title) => ({ title }))],
      rows.map((row) => [
        row.kind,
        mib(row.changedBytes),
        mib(row.wireBytes),
        times((step) => step.wireBytes, row),
        `${decimal(row.commitMs, 1)} ms`,
        `${decimal(row.arrivalMs, 1)} ms`,
        times((step) => step.arrivalMs, row),
      ]),
      ink,
    ),
  ];
}

/** What must not be: rows that cost more than a few percent above what they are. */
export function problems(steps: readonly Step[]): string[] {
  const dear = steps.find(
    ({ kind, wireBytes, changedBytes }) => kind === "rows" && wireBytes > 1.1 * changedBytes,
  );
  return dear ? [`${dear.changedBytes} bytes of rows took ${dear.wireBytes} bytes on the wire`] : [];
}
