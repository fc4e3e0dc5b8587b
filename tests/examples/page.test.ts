import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { ticks } from "../../examples/page/line_plot.ts";
import { type Matrix, matrixOf, Range } from "../../examples/page/matrix.ts";
import { Meter } from "../../examples/page/meter.ts";
import { isPart, regionOf, renewed, titleOf, whole2d, within } from "../../examples/page/pick.ts";
import { pixels } from "../../examples/page/palette.ts";
import { bytes, milliseconds, rate, shapeText, short } from "../../examples/page/words.ts";
import { Lease } from "../../src/array/lease.ts";
import { NdArray } from "../../src/array/ndarray.ts";
import { makeSchema } from "../../src/array/schema.ts";

setDefaultTimeout(30_000);

const schema = makeSchema([
  { name: null, dtype: "f32", shape: [10, 20] },
  { name: "line", dtype: "f64", shape: [300] },
  { name: "cube", dtype: "u8", shape: [3, 4, 5] },
  { name: "point", dtype: "i64", shape: [] },
  { name: "huge", dtype: "u8", shape: [5000, 4000] },
]);
const [main, line, cube, point, huge] = schema.arrays as never as Parameters<typeof whole2d>[0][];

describe("what is looked at", () => {
  test("is all of an array, as far as a screen can show it", () => {
    expect(regionOf(whole2d(main!))).toEqual({ array: null, start: [0, 0], shape: [10, 20], as: "view" });
    expect(regionOf(whole2d(line!))).toEqual({ array: "line", start: [0], shape: [300], as: "view" });
    expect(regionOf(whole2d(cube!, [2]))).toMatchObject({ start: [2, 0, 0], shape: [1, 4, 5] });
    expect(regionOf(whole2d(point!))).toMatchObject({ start: [], shape: [] });
    expect(regionOf(whole2d(huge!))).toMatchObject({ shape: [2048, 2048] });
    for (const array of schema.arrays) expect(isPart(whole2d(array))).toBe(false);
  });

  test("may be a box of it, and a box of that", () => {
    const box = within(whole2d(main!), 2, 3, 4, 6);
    expect(regionOf(box)).toMatchObject({ start: [2, 3], shape: [4, 6] });
    expect(regionOf(within(box, 1, 1, 2, 2))).toMatchObject({ start: [3, 4], shape: [2, 2] });
    expect(isPart(box)).toBe(true);
    expect(titleOf(box)).toBe("main array · f32 · 10 × 20 · rows 2 to 5, columns 3 to 8");
    expect(regionOf(within(whole2d(line!), 0, 50, 1, 10))).toMatchObject({ start: [50], shape: [10] });
  });

  test("survives a node that starts anew, where its array is the same", () => {
    const box = within(whole2d(main!), 2, 3, 4, 6);
    expect(renewed(box, schema)).toEqual(box);
    const other = makeSchema([{ name: null, dtype: "f32", shape: [4, 4] }]);
    expect(regionOf(renewed(box, other))).toMatchObject({ start: [0, 0], shape: [4, 4] });
    expect(renewed(whole2d(cube!), other).array.name).toBeNull();
    expect(renewed(null, schema).array.name).toBeNull();
  });
});

describe("what is drawn", () => {
  const of = (...values: number[]): Matrix => ({ values, rows: 1, columns: values.length });

  test("64-bit integers become numbers, and any array rows and columns", () => {
    const buffer = BigInt64Array.of(-1n, 2n ** 40n).buffer;
    const array = { name: null, dtype: "i64", shape: [2], offset: 0, bytes: 16 } as const;
    expect(matrixOf(NdArray.over(array, buffer, Lease.readOnly()))).toEqual({
      values: Float64Array.of(-1, 2 ** 40),
      rows: 1,
      columns: 2,
    });
  });

  test("its range widens at once, narrows slowly, and leaves out what is no number", () => {
    const range = new Range();
    range.take(of(2, NaN, 4, Infinity, -Infinity));
    expect([range.low, range.high]).toEqual([2, 4]);
    range.take(of(-10, 3));
    expect(range.low).toBe(-10);
    expect(range.high).toBeGreaterThan(3.9);
    for (let i = 0; i < 500; i++) range.take(of(2, 4));
    expect(range.low).toBeCloseTo(2, 3);
    range.restart();
    range.take(of(7, 8));
    expect([range.low, range.high]).toEqual([7, 8]);
    range.take(of(NaN));
    expect([range.low, range.high]).toEqual([7, 8]);
  });

  test("the scale goes from dark to bright without a step back", () => {
    const light = Array.from(
      pixels,
      (p) => 0.2126 * (p & 255) + 0.7152 * ((p >> 8) & 255) + 0.0722 * ((p >> 16) & 255),
    );
    for (let i = 1; i < light.length; i++) expect(light[i]!).toBeGreaterThan(light[i - 1]! - 1);
    expect(light.at(-1)! - light[0]!).toBeGreaterThan(150);
  });

  test("ticks are round and within", () => {
    expect(ticks(0, 1, 5)).toHaveLength(6);
    expect(ticks(-3.2, 4.1, 5)).toEqual([-2, 0, 2, 4]);
    expect(ticks(5, 5, 5)).toEqual([5]);
    for (let i = 0; i < 200; i++) {
      const low = -(1.7 ** (i % 40));
      const found = ticks(low, low + 1.3 ** i, 5);
      expect(found.length).toBeGreaterThan(1);
      expect(found.length).toBeLessThan(12);
    }
  });
});

test("numbers are short", () => {
  expect([0, 1, -1.5, 12.345, 123.45, 1234.5, 1e7, 1e-5, NaN, -Infinity].map(short)).toEqual([
    "0",
    "1",
    "−1.50",
    "12.35",
    "123.5",
    "1235",
    "1.0e7",
    "1.0e-5",
    "–",
    "−∞",
  ]);
  expect(bytes(999)).toEqual(["999", "B"]);
  expect(bytes(60_200_000)).toEqual(["60.2", "MB"]);
  expect(milliseconds(1.234)).toEqual(["1.2", "ms"]);
  expect(milliseconds(2500)).toEqual(["2.5", "s"]);
  expect(rate(4.94)).toEqual(["4.9", "/ s"]);
  expect(shapeText([5000, 2])).toBe("5,000 × 2");
});

test("a meter measures the last two seconds", () => {
  const meter = new Meter();
  let found = 0;
  for (let at = 0; at <= 10_000; at += 250) found = meter.take(at, at / 10);
  expect(found).toBeCloseTo(100, 5);
  for (let at = 10_250; at <= 13_000; at += 250) found = meter.take(at, 1000);
  expect(found).toBe(0);
});
