import { describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  decimal,
  move,
  paint,
  Panel,
  sparkline,
  stack,
  table,
  wantsColour,
} from "../../examples/terminal.ts";

setDefaultTimeout(30_000);

const plain = paint(false);
const colour = paint(true);

describe("colour", () => {
  test("follows NO_COLOR, FORCE_COLOR and the terminal, in this order", () => {
    expect(wantsColour(true, {})).toBe(true);
    expect(wantsColour(false, {})).toBe(false);
    expect(wantsColour(true, { NO_COLOR: "1" })).toBe(false);
    expect(wantsColour(true, { NO_COLOR: "1", FORCE_COLOR: "1" })).toBe(false);
    expect(wantsColour(true, { NO_COLOR: "" })).toBe(true);
    expect(wantsColour(false, { FORCE_COLOR: "1" })).toBe(true);
    expect(wantsColour(true, { FORCE_COLOR: "0" })).toBe(false);
    expect(wantsColour(true, { TERM: "dumb" })).toBe(false);
  });

  test("is green for up, red for down, and nothing where nothing moved or there is no colour", () => {
    expect(move(2, 1, colour)).toBe("\x1b[32m2.00 ▲\x1b[39m");
    expect(move(1, 2, colour)).toBe("\x1b[31m1.00 ▼\x1b[39m");
    expect(move(1, 1, colour)).toBe("1.00  ");
    expect(move(1, undefined, colour)).toBe("1.00  ");
    expect(move(NaN, 1, colour)).toBe("–  ");
    expect(move(2, 1, plain)).toBe("2.00 ▲");
  });
});

test("table aligns by what is seen, not by the bytes of colours", () => {
  const columns = [{ title: "name", align: "left" as const }, { title: "n" }];
  const rows = [
    ["a", "1"],
    ["long one", "1000"],
  ];
  const lines = table(columns, rows, plain);
  expect(lines).toEqual(["name         n", "a            1", "long one  1000"]);
  const coloured = rows.map(([name = "", n = ""]) => [name, colour.up(n)]);
  expect(table(columns, coloured, colour).map((line) => Bun.stripANSI(line))).toEqual(lines);
});

test("sparkline spans the shown values' own range", () => {
  expect(sparkline([0, 1, 2, 3, 4, 5, 6, 7], 8)).toBe("▁▂▃▄▅▆▇█");
  expect(sparkline([100, 0, 7], 2)).toBe("▁█");
  expect(sparkline([5, 5], 8)).toBe("▄▄");
  expect(sparkline([1, NaN, 2], 8)).toBe("▁ █");
  expect(sparkline([], 8)).toBe("");
});

test("decimal writes a dash for no value", () => {
  expect([1.005, 0, NaN, null, undefined].map((value) => decimal(value))).toEqual([
    "1.00",
    "0.00",
    "–",
    "–",
    "–",
  ]);
});

describe("stack", () => {
  const blocks = new Map([
    ["a", ["a1", "a2", "a3", "a4"]],
    ["b", ["b1", "b2", "b3", "b4"]],
  ]);
  test("shows all where there is room", () => {
    expect(stack(blocks, 12, plain)).toEqual([
      "",
      "── a",
      "a1",
      "a2",
      "a3",
      "a4",
      "",
      "── b",
      "b1",
      "b2",
      "b3",
      "b4",
    ]);
  });
  test("cuts the first blocks first, and never passes the height", () => {
    expect(stack(blocks, 11, plain)).toEqual(["", "── a", "a1", "a2", "", "── b", "b1", "b2", "b3", "b4"]);
    expect(stack(blocks, 3, plain)).toHaveLength(3);
  });
});

/** What a wide and high terminal would show after these bytes: the oracle for drawing in place. Colours are left out. */
function screenAfter(bytes: string): string[] {
  const screen = [""];
  let row = 0;
  let written = "";
  for (const [token] of Bun.stripANSI(bytes.replaceAll(/\x1b\[(\d+)A|\x1b\[([JK])/g, "\0$1$2\0")).matchAll(
    /\0\w+\0|\r|\n|[^\0\r\n]+/g,
  )) {
    const up = /^\0(\d+)\0$/.exec(token);
    if (up) row -= Number(up[1]);
    else if (token === "\n") row++;
    else if (token === "\0J\0") screen.length = row + 1;
    if (row < 0) throw new Error("moved above the first line");
    screen[row] ??= "";
    if (token.startsWith("\0") || token === "\r" || token === "\n") {
      if (token === "\0K\0" || token === "\0J\0") screen[row] = written;
      else written = "";
    } else screen[row] = written += token;
  }
  return screen;
}

describe("Panel", () => {
  function recorder(columns = 20, rows = 10) {
    let bytes = "";
    return {
      columns,
      rows,
      write: (text: string) => (bytes += text),
      screen: () => screenAfter(bytes),
      text: () => bytes,
    };
  }

  test("draws over itself, also with fewer lines", () => {
    const sink = recorder();
    const panel = new Panel(sink);
    panel.draw(["one", "two", "three"]);
    expect(sink.screen()).toEqual(["one", "two", "three", ""]);
    panel.draw(["1", "2"]);
    expect(sink.screen()).toEqual(["1", "2", ""]);
    panel.draw(["a", "b", "c", "d"]);
    expect(sink.screen()).toEqual(["a", "b", "c", "d", ""]);
  });

  test("says lines above the block", () => {
    const sink = recorder();
    const panel = new Panel(sink);
    panel.draw(["block"]);
    panel.say("note");
    expect(sink.screen()).toEqual(["note", "block", ""]);
    panel.draw(["newer", "block"]);
    expect(sink.screen()).toEqual(["note", "newer", "block", ""]);
  });

  test("cuts what would wrap or scroll: both would break drawing in place", () => {
    const sink = recorder(10, 4);
    const panel = new Panel(sink);
    panel.draw([colour.up("0123456789abc"), "2", "3", "4", "5"]);
    expect(sink.screen().map((line) => Bun.stringWidth(line))).toEqual([10, 1, 1, 0]);
    expect(Bun.stripANSI(sink.text())).toContain("012345678…");
  });

  test("gives the cursor back", () => {
    const sink = recorder();
    {
      using panel = new Panel(sink);
      panel.draw(["x"]);
      expect(sink.text()).toContain("\x1b[?25l");
    }
    expect(sink.text().endsWith("\x1b[?25h")).toBe(true);
  });
});
