/** Pictures of bits in the characters of a terminal. */

/** A picture of bits, row by row; anything but 0 is a dot. */
export interface Bitmap {
  readonly bits: ArrayLike<number>;
  readonly rows: number;
  readonly columns: number;
}

/** Characters across, and lines. */
export interface Room {
  readonly columns: number;
  readonly lines: number;
}

/** What a picture may take below `linesAbove` lines: of the terminal, or of the share of it that the runner gives. */
export function room(linesAbove: number): Room {
  const { columns, rows } = process.stdout;
  const { COLUMNS, LINES } = process.env;
  const lines = (rows ?? (Number(LINES) || 24)) - linesAbove - 1;
  return { columns: columns ?? (Number(COLUMNS) || 80), lines: Math.max(1, lines) };
}

/** How many dots there are in one character, and which character has which of them. */
interface Glyphs {
  readonly across: number;
  readonly down: number;
  /** By the dots as bits: the lowest is the top left one, the next the one right of it. */
  readonly characters: readonly string[];
}

const halfBlocks: Glyphs = { across: 1, down: 2, characters: [" ", "▀", "▄", "█"] };

// Unicode numbers the dots of braille down the left column, then the right one, and adds the bottom row last.
const brailleBits = [0x01, 0x08, 0x02, 0x10, 0x04, 0x20, 0x40, 0x80];
const braille: Glyphs = {
  across: 2,
  down: 4,
  characters: Array.from({ length: 256 }, (_, dots) =>
    String.fromCharCode(0x2800 + brailleBits.reduce((sum, bit, i) => sum + ((dots >> i) & 1) * bit, 0)),
  ),
};

/** The picture from its top left corner as far as there is room, as half blocks if all of it fits so, else in braille. */
export function bitmap(
  picture: Bitmap,
  { columns, lines }: Room,
): { lines: string[]; shown: Pick<Bitmap, "rows" | "columns"> } {
  const fits = picture.columns <= columns && picture.rows <= lines * halfBlocks.down;
  const glyphs = fits ? halfBlocks : braille;
  const shown = {
    rows: Math.min(picture.rows, lines * glyphs.down),
    columns: Math.min(picture.columns, columns * glyphs.across),
  };
  return { lines: draw(picture, shown, glyphs), shown };
}

function draw(
  picture: Bitmap,
  { rows, columns }: Pick<Bitmap, "rows" | "columns">,
  { across, down, characters }: Glyphs,
): string[] {
  const out: string[] = [];
  for (let top = 0; top < rows; top += down) {
    let line = "";
    for (let left = 0; left < columns; left += across) {
      let dots = 0;
      for (let r = Math.min(down, rows - top) - 1; r >= 0; r--) {
        for (let c = Math.min(across, columns - left) - 1; c >= 0; c--) {
          if (picture.bits[(top + r) * picture.columns + left + c]) dots |= 1 << (r * across + c);
        }
      }
      line += characters[dots];
    }
    out.push(line);
  }
  return out;
}
