import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { checkDtype, dtypeBytes, dtypes, isDtype, typedView } from "../../src/array/dtype.ts";
import { checkShape, flatIndex, sizeOf, stridesOf } from "../../src/array/shape.ts";
import { advance, eachSegment, segmentCount, type Strided } from "../../src/array/strided.ts";
import { anyBox, anyShape, codeOf, indicesOf } from "./samples.ts";

describe("dtypes", () => {
  test("have the sizes that their names say", () => {
    for (const dtype of dtypes)
      expect(dtypeBytes(dtype)).toBe(dtype === "bool" ? 1 : Number(dtype.slice(1)) / 8);
    expect(typedView("f16", new ArrayBuffer(64), 32, 4).byteOffset).toBe(32);
  });

  test("are no others", () => {
    for (const wrong of ["f8", "", "toString", "__proto__", "F64", 64, null, undefined, ["f64"]]) {
      expect(isDtype(wrong)).toBe(false);
      expect(codeOf(() => checkDtype(wrong))).toBe("INVALID_DTYPE");
    }
  });
});

describe("shapes", () => {
  test("flatIndex counts in C order, with stridesOf and sizeOf", () => {
    fc.assert(
      fc.property(anyShape, (shape) => {
        const indices = indicesOf(shape);
        expect(sizeOf(shape)).toBe(indices.length);
        expect(indices.map((index) => flatIndex(shape, index))).toEqual(indices.map((_, i) => i));
        const strides = stridesOf(shape);
        expect(indices.map((index) => index.reduce((sum, i, axis) => sum + i * strides[axis]!, 0))).toEqual(
          indices.map((_, i) => i),
        );
      }),
    );
  });

  test("are refused unless they are 0 to 8 whole numbers from 1 to 2^32 - 1", () => {
    const right = [[], [1], [2 ** 32 - 1], [1, 1, 1, 1, 1, 1, 1, 1], [2 ** 26, 2 ** 26]];
    for (const shape of right) expect(codeOf(() => checkShape(shape))).toBe("nothing was thrown");
    const wrong = [
      [0],
      [-1],
      [1.5],
      [NaN],
      ["3"],
      [2 ** 32],
      [2 ** 27, 2 ** 27],
      Array(9).fill(1),
      [,],
      3,
      null,
      "33",
    ];
    for (const shape of wrong) expect(codeOf(() => checkShape(shape))).toBe("INVALID_SHAPE");
  });

  test("flatIndex refuses what is outside", () => {
    for (const index of [[], [1], [1, 2, 3], [2, 0], [0, 3], [-1, 0], [0.5, 0], [NaN, 0], [2 ** 32, 0]]) {
      expect(codeOf(() => flatIndex([2, 3], index))).toBe("INVALID_INDEX");
    }
  });
});

describe("strided boxes", () => {
  const anyStrided = anyShape.chain((whole) =>
    anyBox(whole).map(({ start, shape }): Strided => ({
      shape,
      strides: stridesOf(whole),
      offset: flatIndex(whole, start),
    })),
  );

  function placesOf({ shape, strides, offset }: Strided): number[] {
    return indicesOf(shape).map((index) => index.reduce((sum, i, axis) => sum + i * strides[axis]!, offset));
  }

  test("segments are the elements in C order, none touching the next", () => {
    fc.assert(
      fc.property(anyStrided, (box) => {
        const segments: [number, number][] = [];
        eachSegment(box, (at, count) => segments.push([at, count]));
        expect(segments.flatMap(([at, count]) => Array.from({ length: count }, (_, i) => at + i))).toEqual(
          placesOf(box),
        );
        for (let i = 1; i < segments.length; i++) {
          expect(segments[i]![0]).toBeGreaterThan(segments[i - 1]![0] + segments[i - 1]![1]);
        }
        expect(segmentCount(box)).toBe(segments.length);
      }),
    );
  });

  test("advance goes round and comes back to the first", () => {
    fc.assert(
      fc.property(anyStrided, (box) => {
        const index = box.shape.map(() => 0);
        let at = box.offset;
        for (const place of placesOf(box)) {
          expect(at).toBe(place);
          at = advance(box, index, at);
        }
        expect(at).toBe(box.offset);
      }),
    );
  });
});
