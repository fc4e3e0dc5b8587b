import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { makeSchema, type Schema } from "../../src/array/schema.ts";
import { Mapping, type MappingLink } from "../../src/delta/mapping.ts";
import { Pieces } from "../../src/delta/pieces.ts";
import { fullRegion } from "../../src/delta/region.ts";
import { byteOf, codeOf, indicesOf } from "../array/samples.ts";
import { anyRegion, anySchema, runsOf } from "./samples.ts";

/** Source byte to local bytes, first link first, found element by element. */
function placesOf(source: Schema, local: Schema, links: readonly MappingLink[]): Map<number, number[]> {
  const places = new Map<number, number[]>();
  for (const link of links) {
    const from = source.arrays.find((array) => array.name === link.source.array)!;
    const to = local.arrays.find((array) => array.name === link.target.array)!;
    const targets = indicesOf(link.target.shape);
    for (const [i, index] of indicesOf(link.source.shape).entries()) {
      const sourceByte = byteOf(
        from,
        index.map((n, axis) => n + link.source.start[axis]!),
      );
      const localByte = byteOf(
        to,
        targets[i]!.map((n, axis) => n + link.target.start[axis]!),
      );
      const width = from.bytes / from.shape.reduce((size, n) => size * n, 1);
      for (let b = 0; b < width; b++) {
        const known = places.get(sourceByte + b) ?? [];
        if (!known.includes(localByte + b)) known.push(localByte + b);
        places.set(sourceByte + b, known);
      }
    }
  }
  return places;
}

/** Random regions of a source; each lands in an array of its own, in a box with a margin and with dimensions of 1 put in or left out. */
const anyMapping = anySchema.chain((source) =>
  fc
    .array(fc.record({ region: anyRegion(source), margin: fc.nat(2), squeeze: fc.boolean() }), {
      minLength: 1,
      maxLength: 4,
    })
    .map((drawn) => {
      const specs = drawn.map(({ region, margin, squeeze }, i) => {
        const shape = squeeze ? region.shape.filter((n) => n !== 1) : region.shape;
        const { dtype } = source.arrays.find((array) => array.name === region.array)!;
        const start = shape.map((_, axis) => (axis + i) % (margin + 1));
        const whole = shape.map((n, axis) => n + start[axis]! + (axis % (margin + 1)));
        return { name: `t${i}`, dtype, shape: whole, target: { array: `t${i}`, start, shape } };
      });
      const links: MappingLink[] = drawn.map(({ region }, i) => ({
        source: region,
        target: specs[i]!.target,
      }));
      return {
        source,
        local: makeSchema(specs.map(({ name, dtype, shape }) => ({ name, dtype, shape }))),
        links,
      };
    }),
);

describe("against elements one by one", () => {
  test("every subscribed byte lands in all its places, and nothing else does", () => {
    fc.assert(
      fc.property(anyMapping, ({ source, local, links }) => {
        const mapping = new Mapping(source, local, links);
        const places = placesOf(source, local, links);
        expect(mapping.sourceRuns).toEqual(runsOf(places.keys()));
        expect(mapping.localRuns).toEqual(runsOf([...places.values()].flat()));
        // Whole runs at once, as they stand one after the other in a staging buffer.
        const into = new Pieces();
        const staged: number[] = [];
        for (let i = 0; i < mapping.sourceRuns.length; i += 2) {
          const [offset, length] = [mapping.sourceRuns[i]!, mapping.sourceRuns[i + 1]!];
          expect(mapping.pieces(offset, length, into, staged.length)).toBe(true);
          for (let b = 0; b < length; b++) staged.push(offset + b);
        }
        const image = new Map<number, number>();
        for (let k = 0; k < into.data.length; k += 3) {
          for (let b = 0; b < into.data[k + 2]!; b++) {
            const localByte = into.data[k]! + b;
            expect(image.has(localByte)).toBe(false);
            image.set(localByte, staged[into.data[k + 1]! + b]!);
          }
        }
        const wanted = new Map(
          [...places].flatMap(([from, all]) => all.map((to): [number, number] => [to, from])),
        );
        expect(image).toEqual(wanted);
      }),
      { numRuns: 150 },
    );
  });

  test("any part of the source, subscribed or not", () => {
    fc.assert(
      fc.property(anyMapping, fc.nat(), fc.nat(40), ({ source, local, links }, seed, bytes) => {
        const mapping = new Mapping(source, local, links);
        const places = placesOf(source, local, links);
        const known = [...places.keys()];
        const offset = known[seed % known.length]! - (seed % 3 === 0 ? bytes >> 1 : 0);
        const wanted: [number, number][] = [];
        let all = bytes > 0;
        for (let b = 0; b < bytes; b++) {
          const to = places.get(offset + b);
          if (to === undefined) all = false;
          for (const place of to ?? []) wanted.push([place, 7 + b]);
        }
        const into = new Pieces();
        expect(mapping.pieces(offset, bytes, into, 7)).toBe(all);
        const found: [number, number][] = [];
        for (let k = 0; k < into.data.length; k += 3) {
          for (let b = 0; b < into.data[k + 2]!; b++) found.push([into.data[k]! + b, into.data[k + 1]! + b]);
        }
        const order = (pairs: [number, number][]): [number, number][] => pairs.sort((a, b) => a[0] - b[0]);
        expect(order(found)).toEqual(all ? order(wanted) : []);
      }),
      { numRuns: 150 },
    );
  });

  test("gathering a range of the subscribed space reads each byte where the first link put it", () => {
    fc.assert(
      fc.property(anyMapping, fc.nat(1000), fc.nat(1000), ({ source, local, links }, one, other) => {
        const mapping = new Mapping(source, local, links);
        const places = placesOf(source, local, links);
        const order = [...places.keys()].sort((a, b) => a - b);
        expect(mapping.space.size).toBe(order.length);
        const [from, to] = [
          Math.min(one, other) % order.length,
          Math.min(Math.max(one, other), order.length),
        ];
        const into = new Pieces();
        mapping.gather(from, to, into, 5);
        const found: number[] = [];
        for (let k = 0; k < into.data.length; k += 3) {
          expect(into.data[k + 1]).toBe(5 + found.length);
          for (let b = 0; b < into.data[k + 2]!; b++) found.push(into.data[k]! + b);
        }
        expect(found).toEqual(order.slice(from, to).map((byte) => places.get(byte)![0]!));
      }),
      { numRuns: 150 },
    );
  });

  test("the further layers have each other place of these bytes once", () => {
    fc.assert(
      fc.property(anyMapping, fc.nat(1000), fc.nat(1000), ({ source, local, links }, one, other) => {
        const mapping = new Mapping(source, local, links);
        const places = placesOf(source, local, links);
        const order = [...places.keys()].sort((a, b) => a - b);
        const from = Math.min(one, other) % order.length;
        const to = Math.min(Math.max(one, other), order.length);
        const found: string[] = [];
        for (let layer = 1; layer < mapping.layerCount; layer++) {
          const into = new Pieces();
          mapping.gather(from, to, into, 5, layer);
          for (let k = 0; k < into.data.length; k += 3)
            for (let b = 0; b < into.data[k + 2]!; b++)
              found.push(`${into.data[k + 1]! + b} ${into.data[k]! + b}`);
        }
        const wanted = order.slice(from, to).flatMap((byte, i) =>
          places
            .get(byte)!
            .slice(1)
            .map((place) => `${5 + i} ${place}`),
        );
        expect(found.sort()).toEqual(wanted.sort());
      }),
      { numRuns: 150 },
    );
  });
});

describe("what is cheap and what is refused", () => {
  const schema = makeSchema([
    { name: null, dtype: "f64", shape: [10, 5] },
    { name: "w", dtype: "f32", shape: [10, 5] },
    { name: "copy", dtype: "f64", shape: [1, 10, 5] },
  ]);
  const box = (array: string | null, start: number[], shape: number[]) => ({ array, start, shape });

  test("a whole array is one piece, and so are two that follow each other on both sides", () => {
    const links = schema.arrays.map((array) => ({ source: fullRegion(array), target: fullRegion(array) }));
    const into = new Pieces();
    expect(new Mapping(schema, schema, links.slice(0, 1)).pieces(0, 400, into, 100)).toBe(true);
    expect([...into.data]).toEqual([0, 100, 400]);
    into.clear();
    const adjacent = makeSchema([
      { name: "a", dtype: "u8", shape: [64] },
      { name: "b", dtype: "u8", shape: [64] },
    ]);
    const both = adjacent.arrays.map((array) => ({ source: fullRegion(array), target: fullRegion(array) }));
    const mapping = new Mapping(adjacent, adjacent, both.toReversed());
    expect(mapping.pieces(0, 128, into)).toBe(true);
    expect([...into.data]).toEqual([0, 0, 128]);
    into.clear();
    mapping.gather(0, 128, into);
    expect([...into.data]).toEqual([0, 0, 128]);
  });

  test("an overlap that says the same twice is no conflict and is copied once", () => {
    const rows = [0, 3].map((start) => ({
      source: box(null, [start, 0], [6, 5]),
      target: box("copy", [0, start, 0], [1, 6, 5]),
    }));
    const into = new Pieces();
    const mapping = new Mapping(schema, schema, rows);
    expect(mapping.pieces(0, 360, into)).toBe(true);
    expect([...into.data]).toEqual([schema.arrays[2]!.offset, 0, 360]);
    expect(mapping.pieces(0, 361, into)).toBe(false);
  });

  test("no links, no bytes", () => {
    const mapping = new Mapping(schema, schema, []);
    const into = new Pieces();
    expect(mapping.space.size).toBe(0);
    expect(mapping.pieces(0, 8, into)).toBe(false);
    mapping.gather(0, 0, into);
    expect(into.count).toBe(0);
  });

  test("dtypes, shapes, boxes and places that do not fit are named", () => {
    const make =
      (...links: MappingLink[]) =>
      () =>
        new Mapping(schema, schema, links);
    const whole = fullRegion(schema.arrays[0]!);
    const dtype = make({ source: whole, target: fullRegion(schema.arrays[1]!) });
    expect(codeOf(dtype)).toBe("SCHEMA_MISMATCH");
    expect(dtype).toThrow(
      'maps[0] ([10, 5] from [0, 0] of the main array to [10, 5] from [0, 0] of array "w"): the dtypes differ, f64 there and f32 here',
    );
    expect(codeOf(make({ source: whole, target: box("copy", [0, 0, 0], [1, 10, 4]) }))).toBe(
      "INVALID_REGION",
    );
    expect(codeOf(make({ source: box(null, [0, 0], [2, 5]), target: box(null, [0, 0], [5, 2]) }))).toBe(
      "INVALID_REGION",
    );
    expect(codeOf(make({ source: whole, target: box("copy", [0, 5, 0], [1, 10, 5]) }))).toBe(
      "INVALID_REGION",
    );
    expect(codeOf(make({ source: box("x", [], []), target: whole }))).toBe("INVALID_REGION");
    const conflict = make(
      { source: box(null, [0, 0], [5, 5]), target: box("copy", [0, 0, 0], [1, 5, 5]) },
      { source: box(null, [2, 0], [5, 5]), target: box("copy", [0, 2, 0], [1, 5, 5]) },
      { source: box(null, [0, 0], [1, 5]), target: box("copy", [0, 6, 0], [1, 1, 5]) },
    );
    expect(codeOf(conflict)).toBe("INVALID_REGION");
    expect(conflict).toThrow(
      'maps[1] (to [1, 5, 5] from [0, 2, 0] of array "copy") and maps[2] (to [1, 1, 5] from [0, 6, 0] of array "copy") put different source elements in the same place',
    );
  });
});
