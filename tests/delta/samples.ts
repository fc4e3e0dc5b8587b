import fc from "fast-check";
import { makeSchema, type Schema } from "../../src/array/schema.ts";
import type { Region } from "../../src/delta/region.ts";
import type { Runs } from "../../src/delta/runs.ts";
import { anyBox, anyDtype, anyShape, bytesOf } from "../array/samples.ts";

/** What the tests of deltas draw from; their oracles are sets of single bytes. */

/** Pairs of offset and length in no order, overlapping and empty ones among them. */
export const anyPairs: fc.Arbitrary<number[]> = fc
  .array(fc.tuple(fc.nat(120), fc.nat(12)), { maxLength: 12 })
  .map((pairs) => pairs.flat());

export function setOf(pairs: ArrayLike<number>): Set<number> {
  const bytes = new Set<number>();
  for (let i = 0; i < pairs.length; i += 2) {
    for (let b = 0; b < pairs[i + 1]!; b++) bytes.add(pairs[i]! + b);
  }
  return bytes;
}

/** The only runs that hold just these bytes. */
export function runsOf(bytes: Iterable<number>): Runs {
  const sorted = [...bytes].sort((a, b) => a - b);
  const pairs: number[] = [];
  for (const byte of sorted) {
    const last = pairs.length - 2;
    if (last >= 0 && pairs[last]! + pairs[last + 1]! === byte) pairs[last + 1]! += 1;
    else pairs.push(byte, 1);
  }
  return Float64Array.from(pairs);
}

export const anySchema: fc.Arbitrary<Schema> = fc
  .array(fc.record({ dtype: anyDtype, shape: anyShape }), { minLength: 1, maxLength: 4 })
  .map((specs) =>
    makeSchema(
      specs.map((spec, i) => ({ name: i === 0 ? null : `a${i}`, ...spec })),
      16,
    ),
  );

export function anyRegion(schema: Schema): fc.Arbitrary<Region> {
  return fc
    .constantFrom(...schema.arrays)
    .chain((array) => anyBox(array.shape).map((box) => ({ array: array.name, ...box })));
}

export function regionBytesOf(schema: Schema, region: Region): Set<number> {
  const array = schema.arrays.find((candidate) => candidate.name === region.array)!;
  return bytesOf(array, { start: [...region.start], shape: [...region.shape] });
}
