/** What the examples put on a terminal: colours, tables, sparklines, and a block of lines that refreshes in place. */

export interface Paint {
  up(text: string): string;
  down(text: string): string;
  dim(text: string): string;
  bold(text: string): string;
  /** Whether it colours at all. */
  readonly colour: boolean;
}

/** The four styles of the examples; without colour every one of them returns its text as it is. */
export function paint(colour: boolean): Paint {
  const style = (code: number, end: number) => (text: string) =>
    colour ? `\x1b[${code}m${text}\x1b[${end}m` : text;
  return { up: style(32, 39), down: style(31, 39), dim: style(2, 22), bold: style(1, 22), colour };
}

/** Whether to colour: never with NO_COLOR set to anything, always with FORCE_COLOR, else where a person looks. */
export function wantsColour(isTerminal: boolean, env: Record<string, string | undefined>): boolean {
  if (env["NO_COLOR"]) return false;
  if (env["FORCE_COLOR"]) return env["FORCE_COLOR"] !== "0";
  return isTerminal && env["TERM"] !== "dumb";
}

export interface Column {
  readonly title: string;
  readonly align?: "left" | "right";
}

/** Lines of a table whose columns are as wide as their widest cell; colours in the cells do not count as width. */
export function table(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  ink: Paint,
): string[] {
  const widths = columns.map((column, c) =>
    Math.max(Bun.stringWidth(column.title), ...rows.map((row) => Bun.stringWidth(row[c] ?? ""))),
  );
  const line = (cells: readonly string[]) =>
    columns.map((column, c) => pad(cells[c] ?? "", widths[c] ?? 0, column.align ?? "right")).join("  ");
  return [ink.dim(line(columns.map((column) => column.title))), ...rows.map(line)].map((text) =>
    text.trimEnd(),
  );
}

function pad(text: string, width: number, align: "left" | "right"): string {
  const space = " ".repeat(Math.max(0, width - Bun.stringWidth(text)));
  return align === "right" ? space + text : text + space;
}

/**
 * Titled blocks one above the other, in at most `height` lines: where they do not fit, blocks are cut to their first
 * three lines, the first ones first.
 */
export function stack(blocks: ReadonlyMap<string, readonly string[]>, height: number, ink: Paint): string[] {
  const parts = [...blocks].map(([title, lines]) => ["", ink.dim(`── ${title}`), ...lines]);
  for (let i = 0; i < parts.length && parts.flat().length > height; i++)
    parts[i] = parts[i]?.slice(0, 4) ?? [];
  return parts.flat().slice(0, Math.max(0, height));
}

const bars = "▁▂▃▄▅▆▇█";

/** The last `width` values as a line of bars between their own minimum and maximum; NaN is a gap. */
export function sparkline(values: ArrayLike<number>, width: number): string {
  const shown = Array.from(values).slice(-width);
  const finite = shown.filter(Number.isFinite);
  const low = Math.min(...finite);
  const span = Math.max(...finite) - low;
  return shown
    .map((value) => {
      if (!Number.isFinite(value)) return " ";
      return bars[span === 0 ? 3 : Math.round(((value - low) / span) * (bars.length - 1))];
    })
    .join("");
}

/** A number for a table: `digits` decimals, and a dash where there is no value. */
export function decimal(value: number | null | undefined, digits = 2): string {
  return value === null || value === undefined || Number.isNaN(value) ? "–" : value.toFixed(digits);
}

/** Green with an arrow if `now` is above `before`, red if below. */
export function move(now: number, before: number | undefined, ink: Paint, digits = 2): string {
  const text = decimal(now, digits);
  if (before === undefined || !(now > before || now < before)) return `${text}  `;
  return now > before ? ink.up(`${text} ▲`) : ink.down(`${text} ▼`);
}

/** Where lines go: a terminal, a file, or an array in a test. */
export interface Sink {
  write(text: string): unknown;
  readonly columns?: number | undefined;
  readonly rows?: number | undefined;
}

/**
 * A block of lines that is drawn over itself. `say` prints a line that stays, above the block. Dispose leaves the last
 * block on the terminal and gives the cursor back.
 */
export class Panel implements Disposable {
  #drawn = 0;
  #lines: readonly string[] = [];
  readonly #sink: Sink;

  constructor(sink: Sink) {
    this.#sink = sink;
  }

  draw(lines: readonly string[]): void {
    const width = this.#sink.columns ?? 100;
    const height = Math.max(1, (this.#sink.rows ?? 40) - 1);
    this.#lines = lines
      .slice(0, height)
      .map((line) =>
        Bun.stringWidth(line) > width ? Bun.sliceAnsi(line, 0, width, { ellipsis: "…" }) : line,
      );
    this.#sink.write(`\x1b[?2026h\x1b[?25l${this.#home()}${this.#body()}\x1b[?2026l`);
    this.#drawn = this.#lines.length;
  }

  say(line: string): void {
    this.#sink.write(`${this.#home()}${line}\x1b[K\n${this.#body()}`);
    this.#drawn = this.#lines.length;
  }

  [Symbol.dispose](): void {
    this.#sink.write("\x1b[?25h");
  }

  #home(): string {
    return this.#drawn === 0 ? "" : `\x1b[${this.#drawn}A\r`;
  }

  #body(): string {
    return `${this.#lines.map((line) => `${line}\x1b[K\n`).join("")}\x1b[J`;
  }
}
