import { expect, test } from "bun:test";
import fc from "fast-check";
import { dtypeBytes } from "../../src/array/dtype.ts";
import { type ArraySchema, makeSchema, type Schema } from "../../src/array/schema.ts";
import type { Region } from "../../src/delta/region.ts";
import { normalise, type Runs } from "../../src/delta/runs.ts";
import { Update } from "../../src/node/runtime/update.ts";
import { anySchema } from "../delta/samples.ts";

const facts = { source: "s", from: 0, version: 1, sourceVersion: 1, full: false };

function regionsOf(schema: Schema, runs: Runs): Region[] {
  return new Update(facts, schema, runs, () => undefined).regions;
}

/** The smallest box around the elements that have a byte in this run; null: none has. */
function boxAround({ name, dtype, shape, offset, bytes }: ArraySchema, at: number, length: number) {
  const indices: number[][] = [];
  for (let byte = at; byte < at + length; byte++) {
    if (byte < offset || byte >= offset + bytes) continue;
    let flat = Math.floor((byte - offset) / dtypeBytes(dtype));
    const index = shape.toReversed().map((dimension) => {
      const i = flat % dimension;
      flat = (flat - i) / dimension;
      return i;
    });
    indices.push(index.reverse());
  }
  if (indices.length === 0) return null;
  const start = shape.map((_, axis) => Math.min(...indices.map((index) => index[axis]!)));
  const ends = shape.map((_, axis) => Math.max(...indices.map((index) => index[axis]!)));
  return { array: name, start, shape: ends.map((last, axis) => last - start[axis]! + 1) };
}

test("the regions of an update are boxes around what each run has of each array", () => {
  const drawn = anySchema.chain((schema) =>
    fc.record({
      schema: fc.constant(schema),
      pairs: fc.array(fc.tuple(fc.nat(schema.imageBytes), fc.nat(300)), { maxLength: 20 }),
    }),
  );
  fc.assert(
    fc.property(drawn, ({ schema, pairs }) => {
      const runs = normalise(pairs.flat());
      const slow: Region[] = [];
      for (const array of schema.arrays)
        for (let i = 0; i < runs.length; i += 2) {
          const box = boxAround(array, runs[i]!, runs[i + 1]!);
          if (box) slow.push(box);
        }
      expect(regionsOf(schema, runs)).toEqual(slow);
    }),
  );
});

test("many runs in many arrays are looked at once, not once for each array", () => {
  const arrays = Array.from(
    { length: 256 },
    (_, i) => ({ name: `a${i}`, dtype: "u8", shape: [1024] }) as const,
  );
  const schema = makeSchema([...arrays], 8);
  const runs = normalise(
    schema.arrays.flatMap(({ offset }) => Array.from({ length: 16 }, (_, i) => [offset + 64 * i, 1]).flat()),
  );
  let reads = 0;
  const counted = new Proxy(runs, {
    get(target, key) {
      reads++;
      return Reflect.get(target, key, target);
    },
  });
  expect(regionsOf(schema, counted)).toHaveLength(256 * 16);
  expect(reads).toBeLessThan((256 * runs.length) / 8);
});
