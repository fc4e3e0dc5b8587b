/** Numbers as colours, two above each other in every character of a terminal. */
import type { Room } from "../picture.ts";

/** A picture of numbers, row by row. */
export interface Field {
  readonly values: ArrayLike<number>;
  readonly rows: number;
  readonly columns: number;
}

/** How the characters are coloured: 24 bits, the 256 colours of older terminals, or not at all. */
export type Depth = "ansi-16m" | "ansi-256" | "none";

/** Nearly every terminal shows 24 bits; the few that garble them are known by name. */
export function depth(
  colour: boolean,
  { TERM, TERM_PROGRAM, TMUX }: Record<string, string | undefined>,
): Depth {
  if (!colour) return "none";
  const isOld = TERM_PROGRAM === "Apple_Terminal" || TERM === "linux" || (TERM === "screen" && !TMUX);
  return isOld ? "ansi-256" : "ansi-16m";
}

// "plasma" of matplotlib, which grows evenly brighter from its cold end to its hot one.
const stops = [
  [13, 8, 135],
  [106, 0, 168],
  [177, 42, 144],
  [225, 100, 98],
  [252, 166, 54],
  [240, 249, 33],
] as const;

const levels = 64;
const shades = " .:-=+*#%@";

/** Draws fields whose values go from `low` to `high`. */
export class HeatPainter {
  readonly #low: number;
  readonly #high: number;
  readonly #depth: Depth;
  /** Escape sequences by level. */
  readonly #upper: readonly string[];
  readonly #lower: readonly string[];

  constructor(low: number, high: number, depth: Depth) {
    this.#low = low;
    this.#high = high;
    this.#depth = depth;
    this.#upper = Array.from({ length: levels }, (_, level) =>
      depth === "none" ? "" : (Bun.color(colourAt(level / (levels - 1)), depth) ?? ""),
    );
    this.#lower = this.#upper.map((sequence) => sequence.replace("[38", "[48"));
  }

  /** The whole field; where there is not room enough every dot is the mean of several values. */
  draw(field: Field, { columns, lines }: Room): string[] {
    const shrunk = shrink(field, lines * 2, columns);
    const level = (row: number, column: number) =>
      this.#level(shrunk.values[row * shrunk.columns + column] ?? NaN);
    return Array.from({ length: Math.ceil(shrunk.rows / 2) }, (_, line) => {
      const pairs = Array.from({ length: shrunk.columns }, (_, column): [number, number] => {
        const upper = level(2 * line, column);
        return [upper, 2 * line + 1 < shrunk.rows ? level(2 * line + 1, column) : upper];
      });
      return this.#line(pairs);
    });
  }

  /** What the colours mean. */
  scale(width: number): string {
    const bar = Array.from({ length: width }, (_, i): [number, number] => {
      const level = Math.round((i / Math.max(1, width - 1)) * (levels - 1));
      return [level, level];
    });
    return `${this.#low} ${this.#line(bar)} ${this.#high}`;
  }

  #level(value: number): number {
    const share = (value - this.#low) / (this.#high - this.#low);
    return Math.max(0, Math.min(levels - 1, Math.round(share * (levels - 1)))) || 0;
  }

  /** Characters with an upper and a lower level each; a colour is named only where it changes. */
  #line(pairs: readonly (readonly [number, number])[]): string {
    if (this.#depth === "none") return pairs.map(([upper, lower]) => shade((upper + lower) / 2)).join("");
    let text = "";
    let last: readonly [number, number] = [-1, -1];
    for (const pair of pairs) {
      if (pair[0] !== last[0]) text += this.#upper[pair[0]];
      if (pair[1] !== last[1]) text += this.#lower[pair[1]];
      text += "▀";
      last = pair;
    }
    return `${text}\x1b[0m`;
  }
}

function shade(level: number): string {
  return shades[Math.round((level / (levels - 1)) * (shades.length - 1))] ?? " ";
}

/** Red, green and blue at `share` of the way from cold to hot. */
function colourAt(share: number): [number, number, number] {
  const at = share * (stops.length - 1);
  const from = Math.min(Math.floor(at), stops.length - 2);
  const mix = (channel: 0 | 1 | 2) => {
    const [a, b] = [stops[from]![channel], stops[from + 1]![channel]];
    return Math.round(a + (b - a) * (at - from));
  };
  return [mix(0), mix(1), mix(2)];
}

/** The field in at most so many rows and columns, its proportions kept: every value is the mean of those in its place. */
export function shrink({ values, rows, columns }: Field, rowsMax: number, columnsMax: number): Field {
  const share = Math.min(1, rowsMax / rows, columnsMax / columns);
  const [height, width] = [Math.max(1, Math.floor(rows * share)), Math.max(1, Math.floor(columns * share))];
  const out = new Float64Array(height * width);
  for (let r = 0; r < height; r++) {
    const [top, bottom] = [Math.floor((r * rows) / height), Math.floor(((r + 1) * rows) / height)];
    for (let c = 0; c < width; c++) {
      const [left, right] = [Math.floor((c * columns) / width), Math.floor(((c + 1) * columns) / width)];
      let sum = 0;
      for (let y = top; y < bottom; y++) for (let x = left; x < right; x++) sum += values[y * columns + x]!;
      out[r * width + c] = sum / ((bottom - top) * (right - left));
    }
  }
  return { values: out, rows: height, columns: width };
}
