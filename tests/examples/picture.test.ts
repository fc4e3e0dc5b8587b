import { describe, expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import { bitmap, type Bitmap } from "../../examples/picture.ts";

setDefaultTimeout(30_000);

function picture(...rows: string[]): Bitmap {
  const bits = rows.flatMap((row) => [...row].map((cell) => (cell === "#" ? 1 : 0)));
  return { bits, rows: rows.length, columns: rows[0]?.length ?? 0 };
}

/** Dots of a line of braille or half blocks, back as rows of # and . */
function undraw(lines: readonly string[], { rows, columns }: { rows: number; columns: number }): string[] {
  const isOn = (character: string, r: number, c: number) => {
    if (character >= "\u2800") {
      // The number of each dot in the names of the characters: BRAILLE PATTERN DOTS-1234.
      const dot = [
        [1, 4],
        [2, 5],
        [3, 6],
        [7, 8],
      ][r]?.[c] as number;
      return ((character.charCodeAt(0) - 0x2800) >> (dot - 1)) & 1;
    }
    return r === 0 ? "▀█".includes(character) : "▄█".includes(character);
  };
  const isBraille = (lines[0] ?? "") >= "\u2800";
  const [across, down] = isBraille ? [2, 4] : [1, 2];
  return Array.from({ length: rows }, (_, r) =>
    Array.from({ length: columns }, (_, c) => {
      const character = lines[Math.floor(r / down)]?.[Math.floor(c / across)] ?? "?";
      return isOn(character, r % down, c % across) ? "#" : ".";
    }).join(""),
  );
}

describe("bitmap", () => {
  test("draws two rows a line where all of it fits", () => {
    const { lines, shown } = bitmap(picture("#.#.", "##..", ".#.#"), { columns: 4, lines: 2 });
    expect(lines).toEqual(["█▄▀ ", " ▀ ▀"]);
    expect(shown).toEqual({ rows: 3, columns: 4 });
  });

  test("draws 4x2 dots a character where it does not", () => {
    const { lines, shown } = bitmap(picture("#..#", ".##.", "#..#", "####", "#..."), {
      columns: 3,
      lines: 2,
    });
    expect(lines).toEqual(["⣕⣪", "⠁⠀"]);
    expect(shown).toEqual({ rows: 5, columns: 4 });
  });

  test("shows the top left part where even that is too large", () => {
    const rows = Array.from({ length: 9 }, (_, r) => "#.".repeat(5).slice(r % 2, 9));
    const { lines, shown } = bitmap(picture(...rows.map((row) => row.padEnd(9, "."))), {
      columns: 2,
      lines: 1,
    });
    expect(shown).toEqual({ rows: 4, columns: 4 });
    expect(lines).toHaveLength(1);
    expect(lines[0]).toHaveLength(2);
  });

  test("every dot shown is where it belongs, in any room (oracle)", () => {
    const anyPicture = fc
      .tuple(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 12 }))
      .chain(([rows, columns]) =>
        fc.array(
          fc.string({
            unit: fc.constantFrom("#", "."),
            minLength: columns,
            maxLength: columns,
          }),
          { minLength: rows, maxLength: rows },
        ),
      );
    const anyRoom = fc.record({
      columns: fc.integer({ min: 1, max: 12 }),
      lines: fc.integer({ min: 1, max: 10 }),
    });
    fc.assert(
      fc.property(anyPicture, anyRoom, (rows, room) => {
        const { lines, shown } = bitmap(picture(...rows), room);
        expect(lines.length).toBeLessThanOrEqual(room.lines);
        for (const line of lines) expect(line.length).toBeLessThanOrEqual(room.columns);
        expect(undraw(lines, shown)).toEqual(
          rows.slice(0, shown.rows).map((row) => row.slice(0, shown.columns)),
        );
      }),
      { numRuns: 500 },
    );
  });
});
