/** What a training and what its followers look like. */
import type { Node } from "../../src/index.ts";
import type { View } from "../program.ts";
import { decimal, sparkline, table, type Paint } from "../terminal.ts";
import type { Samples } from "./network.ts";
import { readMeta } from "./task.ts";

const sparklineWidth = 60;
const historyMax = 4 * sparklineWidth;

/** The last values of something, thinned out to a line of bars that shows all of its course. */
export class Course {
  readonly #values: number[] = [];
  #each = 1;
  #skipped = 0;

  add(value: number): void {
    if (++this.#skipped < this.#each) return;
    this.#skipped = 0;
    this.#values.push(value);
    if (this.#values.length < historyMax) return;
    this.#each *= 2;
    for (let i = 0; i < historyMax / 2; i++) this.#values[i] = this.#values[2 * i + 1]!;
    this.#values.length = historyMax / 2;
  }

  bars(): string {
    const { length } = this.#values;
    const width = Math.min(length, sparklineWidth);
    const shown = Array.from({ length: width }, (_, i) =>
      this.#values.at(Math.ceil(((i + 1) * length) / width) - 1),
    );
    return sparkline(shown as number[], sparklineWidth);
  }
}

function versions(node: Node): string {
  return Object.entries(node.version)
    .map(([name, version]) => `${name} ${version}`)
    .join(", ");
}

function training(meta: unknown): string {
  const read = readMeta(meta);
  return read ? `${read.task}, step ${read.step}, loss ${decimal(read.loss, 4)}` : "published weights";
}

/** Of the server: where it stands, and the course of the loss. */
export function serverView(node: Node, ink: Paint, title: string, losses: Course): View {
  return {
    lines: () => [
      title,
      `versions ${ink.bold(versions(node))}  ${ink.dim(training(node.meta))}`,
      `loss ${losses.bars()}`,
      ...arrayTable(node, ink),
    ],
    line: () => `versions ${versions(node)}; ${training(node.meta)}; ${title}`,
    json: () => ({ version: node.version, meta: node.meta ?? null }),
  };
}

const arraysShown = 12;

function arrayTable(node: Node, ink: Paint): string[] {
  const { arrays } = node.schema;
  const rows = arrays
    .slice(0, arraysShown)
    .map(({ name, dtype, shape, bytes }) => [name ?? "", dtype, `[${shape.join(", ")}]`, `${bytes}`]);
  if (arrays.length > arraysShown) rows.push([`and ${arrays.length - arraysShown} more`]);
  const columns = [
    { title: "array", align: "left" as const },
    { title: "dtype" },
    { title: "shape" },
    { title: "bytes" },
  ];
  return table(columns, rows, ink);
}

/** What a version of the weights makes of the samples. */
export interface Score {
  /** Metadata of that version. */
  readonly meta: unknown;
  readonly classes: Uint8Array;
  /** [samples, classes] */
  readonly scores: Float32Array;
  /** Of the classes, right ones; and how many samples there are. */
  readonly right: number;
  readonly count: number;
  readonly milliseconds: number;
}

/** Of a client: the accuracy and its course, and what is right of each class. */
export function clientView(
  node: Node,
  ink: Paint,
  title: string,
  { samples, are, score, accuracies }: { samples: Samples; are: string; score: Score; accuracies: Course },
): View {
  const { right, count, milliseconds } = score;
  const number = (n: number) => n.toLocaleString("en");
  const accuracy = `${decimal((100 * right) / count, 1)} %`;
  const facts = `${number(right)} of ${number(count)} ${are}`;
  return {
    lines: () => [
      title,
      `versions ${ink.bold(versions(node))}  ${ink.dim(training(score.meta))}`,
      `accuracy ${ink.bold(accuracy)}  ${facts}  ${ink.dim(`ONNX Runtime, ${decimal(milliseconds, 1)} ms`)}`,
      `         ${accuracies.bars()}`,
      ...classTable(samples, score, ink),
      ...caseLine(samples, score, ink),
    ],
    line: () =>
      `versions ${versions(node)}; ${training(score.meta)}; accuracy ${accuracy}, ${facts}; ${title}`,
    json: () => ({
      version: node.version,
      meta: score.meta ?? null,
      accuracy: right / count,
      right,
      count,
      milliseconds,
    }),
  };
}

function classTable({ labels }: Samples, { classes, count, scores }: Score, ink: Paint): string[] {
  const classCount = scores.length / count;
  const shares = Array.from({ length: classCount }, (_, one) => {
    const all = labels.reduce((sum, label) => sum + Number(label === one), 0);
    const right = labels.reduce((sum, label, i) => sum + Number(label === one && classes[i] === one), 0);
    return decimal((100 * right) / all, 0);
  });
  const columns = [
    { title: "class", align: "left" as const },
    ...shares.map((_, one) => ({ title: `${one}` })),
  ];
  return table(columns, [["right %", ...shares]], ink);
}

const casesMax = 8;

/** Every sample with its answer, where there are few. */
function caseLine({ inputs, labels }: Samples, { classes, count }: Score, ink: Paint): string[] {
  if (count > casesMax) return [];
  const width = inputs.length / count;
  const cases = Array.from(labels, (label, row) => {
    const given = inputs.subarray(row * width, (row + 1) * width).join(" ");
    const answer = `${classes[row] ?? 0}`;
    return `${given} → ${classes[row] === label ? ink.up(answer) : ink.down(answer)}`;
  });
  return [cases.join("   ")];
}
