import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { makeSchema } from "../../src/array/schema.ts";
import {
  checkRegion,
  fullRegion,
  type Region,
  regionBytes,
  regionRuns,
  regionSegments,
  regionText,
  segmentsMax,
} from "../../src/delta/region.ts";
import { codeOf } from "../array/samples.ts";
import { anyRegion, anySchema, regionBytesOf, runsOf } from "./samples.ts";

describe("against elements one by one", () => {
  const anyRegions = anySchema.chain((schema) =>
    fc.tuple(fc.constant(schema), fc.array(anyRegion(schema), { minLength: 1, maxLength: 5 })),
  );

  test("segments are the region's bytes, as few as there can be", () => {
    fc.assert(
      fc.property(anyRegions, ([schema, [region]]) => {
        const array = checkRegion(schema, region!);
        const bytes = regionBytesOf(schema, region!);
        expect(regionSegments(array, region!)).toEqual(runsOf(bytes));
        expect(regionBytes(array, region!)).toBe(bytes.size);
      }),
      { numRuns: 300 },
    );
  });

  test("several regions together", () => {
    fc.assert(
      fc.property(anyRegions, ([schema, regions]) => {
        const bytes = new Set<number>();
        for (const region of regions) for (const byte of regionBytesOf(schema, region)) bytes.add(byte);
        expect(regionRuns(schema, regions)).toEqual(runsOf(bytes));
      }),
    );
  });

  test("all of an array is one segment", () => {
    fc.assert(
      fc.property(anySchema, (schema) => {
        for (const array of schema.arrays) {
          expect([...regionSegments(array, fullRegion(array))]).toEqual([array.offset, array.bytes]);
        }
      }),
    );
  });
});

describe("refusals", () => {
  const schema = makeSchema([
    { name: null, dtype: "f64", shape: [10, 5] },
    { name: "tall", dtype: "u8", shape: [2 ** 29, 2] },
  ]);

  test("name the numbers", () => {
    const regions: [Region, string][] = [
      [
        { array: null, start: [8, 0], shape: [3, 5] },
        "region of the main array: 3 from 8 on axis 0 is outside the array's [10, 5]",
      ],
      [
        { array: null, start: [0, 0], shape: [10] },
        "region of the main array: start has 2 numbers and shape has 1, the array has 2 dimensions",
      ],
      [{ array: "x", start: [], shape: [] }, 'no array "x" here; there is the main array, array "tall"'],
    ];
    for (const [region, text] of regions) expect(() => checkRegion(schema, region)).toThrow(text);
    const wrong = [0, -1, 6, 0.5, NaN, Infinity, 2 ** 53, -(2 ** 53), "1", null, undefined];
    for (const number of wrong) {
      const shape = { array: null, start: [0, 0], shape: [1, number] } as Region;
      expect(codeOf(() => checkRegion(schema, shape))).toBe("INVALID_REGION");
      if (number === 0) continue;
      const start = { array: null, start: [0, number], shape: [1, 1] } as Region;
      expect(codeOf(() => checkRegion(schema, start))).toBe("INVALID_REGION");
    }
    expect(codeOf(() => checkRegion(schema, { array: null, start: [0, 5], shape: [1, 0] }))).toBe(
      "INVALID_REGION",
    );
    expect(codeOf(() => checkRegion(schema, { array: null } as Region))).toBe("INVALID_REGION");
    expect(regionText({ array: "w", start: [1, 2], shape: [3, 4] })).toBe('[3, 4] from [1, 2] of array "w"');
  });

  test("a region of more segments than allowed costs nothing, alone or with others", () => {
    const column: Region = { array: "tall", start: [0, 1], shape: [2 ** 29, 1] };
    const before = process.memoryUsage().rss;
    expect(codeOf(() => regionRuns(schema, [column]))).toBe("INVALID_REGION");
    const half = { ...column, shape: [segmentsMax / 2 + 1, 1] };
    expect(codeOf(() => regionRuns(schema, [half, half]))).toBe("INVALID_REGION");
    expect(process.memoryUsage().rss - before).toBeLessThan(64 * 2 ** 20);
    expect(regionRuns(schema, [{ ...column, shape: [1000, 1] }]).length).toBe(2000);
  });
});
