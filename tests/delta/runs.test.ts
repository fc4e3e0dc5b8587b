import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  checkRuns,
  clip,
  contains,
  eachRun,
  firstEndingAfter,
  intersect,
  intersects,
  normalise,
  RunBuilder,
  type Runs,
  totalBytes,
  union,
  unionAll,
} from "../../src/delta/runs.ts";
import { anyPairs, runsOf, setOf } from "./samples.ts";
import { areRuns, edges, limits } from "./edges.ts";

const anyRuns = anyPairs.map((pairs) => runsOf(setOf(pairs)));
/** So many that the search among them takes several steps, and far apart from one another. */
const manyRuns = fc
  .array(fc.tuple(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 5 })), { maxLength: 200 })
  .map((gaps): Runs => {
    const pairs: number[] = [];
    let end = 0;
    for (const [gap, length] of gaps) {
      pairs.push(end + gap, length);
      end += gap + length;
    }
    return Float64Array.from(pairs);
  });

describe("against sets of bytes", () => {
  test("normalise, totalBytes, eachRun", () => {
    fc.assert(
      fc.property(anyPairs, (pairs) => {
        const bytes = setOf(pairs);
        const runs = normalise(pairs);
        expect(runs).toEqual(runsOf(bytes));
        expect(totalBytes(runs)).toBe(bytes.size);
        expect([...eachRun(runs)].flat()).toEqual([...runs]);
        expect(checkRuns(runs, 200)).toBeNull();
      }),
      { numRuns: 300 },
    );
  });

  test("union", () => {
    fc.assert(
      fc.property(anyRuns, anyRuns, anyRuns, (a, b, c) => {
        expect(union(a, b)).toEqual(runsOf(setOf(a).union(setOf(b))));
        expect(unionAll([a, b, c])).toEqual(runsOf(setOf(a).union(setOf(b)).union(setOf(c))));
      }),
      { numRuns: 300 },
    );
  });

  test.each([
    ["short", anyRuns, anyRuns],
    ["long", manyRuns, manyRuns],
    ["short and long", anyRuns, manyRuns],
    ["long and short", manyRuns, anyRuns],
  ])("intersect, intersects: %s", (_, left, right) => {
    fc.assert(
      fc.property(left, right, (a, b) => {
        const common = runsOf(setOf(a).intersection(setOf(b)));
        expect(intersect(a, b)).toEqual(common);
        expect(intersects(a, b)).toBe(common.length > 0);
      }),
    );
  });

  test("clip, contains, firstEndingAfter", () => {
    fc.assert(
      fc.property(manyRuns, fc.nat(600), fc.nat(80), (runs, offset, length) => {
        const bytes = setOf(runs);
        const wanted = setOf([offset, length]);
        expect(clip(runs, offset, offset + length)).toEqual(runsOf(bytes.intersection(wanted)));
        expect(contains(runs, offset, length)).toBe(
          length > 0 ? wanted.isSubsetOf(bytes) : bytes.has(offset),
        );
        const ends = [...eachRun(runs)].findIndex(([start, count]) => start + count > offset);
        expect(firstEndingAfter(runs, offset, 0)).toBe(ends === -1 ? runs.length : 2 * ends);
      }),
      { numRuns: 300 },
    );
    for (const [offset, length] of eachRun(Float64Array.of(3, 5, 10, 1))) {
      expect(contains(Float64Array.of(3, 5, 10, 1), offset, length)).toBe(true);
      expect(contains(Float64Array.of(3, 5, 10, 1), offset, length + 1)).toBe(false);
    }
  });

  test("a builder joins what touches and skips what is empty", () => {
    const builder = new RunBuilder();
    for (const [offset, length] of [
      [0, 0],
      [2, 3],
      [5, 1],
      [5, 4],
      [6, 1],
      [20, 0],
      [30, 1],
    ])
      builder.add(offset!, length!);
    expect([...builder.finish()]).toEqual([2, 7, 30, 1]);
    for (let i = 0; i < 100; i++) builder.add(100 + 2 * i, 1);
    expect(builder.finish().length).toBe(204);
  });
});

describe("pairs from a peer", () => {
  const anyEdge = fc.oneof(fc.constantFrom(...edges), fc.nat(100));

  test("are runs, or it is said why not, as big whole numbers would have it", () => {
    fc.assert(
      fc.property(fc.array(anyEdge, { maxLength: 6 }), fc.constantFrom(...limits), (pairs, limit) => {
        expect(checkRuns(pairs, limit) === null).toBe(areRuns(pairs, limit));
      }),
      { numRuns: 5000 },
    );
  });

  test("get their reason", () => {
    const reasons: [number[], string][] = [
      [[1], "an offset without a length"],
      [[0.5, 1], "run 0 (1 bytes at 0.5) is not in whole bytes"],
      [[0, 1, -8, 4], "run 1 (4 bytes at -8) is negative"],
      [[8, 0], "run 0 (0 bytes at 8) is empty"],
      [[60, 5], "run 0 (5 bytes at 60) ends after byte 64"],
      [[2 ** 53 - 1, 1], "run 0 (1 bytes at 9007199254740991) ends after byte 64"],
      [[8, 8, 15, 1], "run 1 (1 bytes at 15) begins before the end of the one before it"],
      [[8, 8, 0, 1], "run 1 (1 bytes at 0) begins before the end of the one before it"],
    ];
    for (const [pairs, reason] of reasons) expect(checkRuns(pairs, 64)).toBe(reason);
    expect(checkRuns([0, 8, 8, 56], 64)).toBeNull();
  });
});
