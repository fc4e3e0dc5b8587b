import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { dtypeBytes } from "../../src/array/dtype.ts";
import {
  arraySchema,
  type ArraySpec,
  arraysMax,
  makeSchema,
  type Schema,
  schemaDifference,
  schemaFromJson,
  schemaTextMax,
  schemaToJson,
  contentDifference,
} from "../../src/array/schema.ts";
import { anyDtype, anyShape, codeOf } from "./samples.ts";

const anyName = fc.oneof(fc.constant(null), fc.stringMatching(/^[A-Za-z0-9_.:-]{1,12}$/));
const anySpecs: fc.Arbitrary<ArraySpec[]> = fc.uniqueArray(
  fc.record({ name: anyName, dtype: anyDtype, shape: anyShape }),
  { selector: (spec) => spec.name, maxLength: 6 },
);
const anySchema = fc
  .tuple(anySpecs, fc.integer({ min: 8, max: 5000 }))
  .map(([specs, meta]) => makeSchema(specs, meta));

const example = makeSchema([
  { name: null, dtype: "f64", shape: [3, 5] },
  { name: "w1", dtype: "u8", shape: [65] },
  { name: "s", dtype: "i64", shape: [] },
]);

/** Some shape of so many bytes or a few more. */
function shapeOf(bytes: number): number[] {
  return bytes < 2 ** 32 ? [bytes] : [2 ** 16, 2 ** 16];
}

describe("layout", () => {
  test("one after the other at multiples of 64, the metadata last", () => {
    expect(example.arrays.map(({ offset, bytes }) => [offset, bytes])).toEqual([
      [0, 120],
      [128, 65],
      [256, 8],
    ]);
    expect([example.metaOffset, example.metaBytesMax, example.imageBytes]).toEqual([320, 4096, 4416]);
    expect(makeSchema([], 9)).toEqual({ arrays: [], metaOffset: 0, metaBytesMax: 9, imageBytes: 64 });
  });

  test("no byte belongs to two, and all are inside", () => {
    fc.assert(
      fc.property(anySchema, (schema) => {
        const parts = schema.arrays.map(({ offset, bytes }) => [offset, bytes] as const);
        parts.push([schema.metaOffset, schema.metaBytesMax]);
        let end = 0;
        for (const [offset, bytes] of parts) {
          expect(offset % 64).toBe(0);
          expect(offset).toBeGreaterThanOrEqual(end);
          expect(offset - end).toBeLessThan(64);
          end = offset + bytes;
        }
        expect(schema.imageBytes % 64).toBe(0);
        expect(schema.imageBytes - end).toBeWithin(0, 64);
        for (const { bytes, shape, dtype } of schema.arrays) {
          expect(bytes).toBe(shape.reduce((product, n) => product * n, 1) * dtypeBytes(dtype));
        }
      }),
    );
  });

  test("in a large image each begins on a block of its own", () => {
    const anySizes = fc.array(fc.integer({ min: 1, max: 2 ** 32 }), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(anySizes, fc.integer({ min: 8, max: 5000 }), (sizes, metaBytesMax) => {
        const schema = makeSchema(
          sizes.map((bytes, i) => ({ name: `a${i}`, dtype: "u8", shape: shapeOf(bytes) })),
          metaBytesMax,
        );
        let block = 64; // as the C library chooses it
        while (Math.ceil(schema.imageBytes / block) > 2 ** 20) block *= 2;
        let end = 0;
        for (const [offset, bytes] of [
          ...schema.arrays.map(({ offset, bytes }) => [offset, bytes] as const),
          [schema.metaOffset, metaBytesMax] as const,
        ]) {
          expect(offset % block).toBe(0);
          expect(offset - end).toBeWithin(0, block);
          end = offset + bytes;
        }
        expect(schema.imageBytes - end).toBeWithin(0, 64);
        expect(schemaFromJson(schemaToJson(schema))).toEqual(schema);
      }),
    );
  });

  test("files from before that, with everything at multiples of 64, are read as they are", () => {
    const spec: ArraySpec[] = [
      { name: null, dtype: "u8", shape: [2 ** 26 + 64] },
      { name: "w", dtype: "u8", shape: [3] },
    ];
    const { arrays, metaOffset, imageBytes, ...rest } = makeSchema(spec);
    expect([arrays[1]!.offset, metaOffset, imageBytes]).toEqual([
      2 ** 26 + 128,
      2 ** 26 + 256,
      2 ** 26 + 4352,
    ]);
    const dense: Schema = {
      arrays: [arrays[0]!, { ...arrays[1]!, offset: 2 ** 26 + 64 }],
      metaOffset: 2 ** 26 + 128,
      imageBytes: imageBytes - 128,
      ...rest,
    };
    expect(schemaFromJson(schemaToJson(dense))).toEqual(dense);
    const today = makeSchema(spec);
    expect(schemaDifference(today, dense)).toContain("offset");
    expect(contentDifference(today, dense)).toBeNull();
    expect(contentDifference(makeSchema(spec.toReversed()), dense)).not.toBeNull();
    expect(contentDifference(makeSchema(spec, 64), dense)).not.toBeNull();
    const mixed = { ...dense, metaOffset: metaOffset };
    expect(codeOf(() => schemaFromJson(schemaToJson(mixed)))).toBe("FORMAT");
  });

  test("what cannot be laid out is refused by its reason", () => {
    const one = (spec: object, meta?: number): string =>
      codeOf(() => makeSchema([{ name: "a", dtype: "f64", shape: [2], ...spec }], meta));
    for (const name of ["", "a b", "a/b", "ä", "x".repeat(129), 5, undefined, "a\n"])
      expect(one({ name })).toBe("INVALID_NAME");
    expect(one({ name: "x".repeat(128) })).toBe("nothing was thrown");
    expect(one({ dtype: "f8" })).toBe("INVALID_DTYPE");
    expect(one({ shape: [0] })).toBe("INVALID_SHAPE");
    expect(one({ shape: [2 ** 29] })).toBe("nothing was thrown");
    expect(one({ shape: [2 ** 29 + 1] })).toBe("TOO_LARGE");
    for (const meta of [7, 0, -1, 8.5, NaN, 2 ** 24 + 1]) expect(one({}, meta)).toBe("INVALID_OPTION");
    expect(one({}, 2 ** 24)).toBe("nothing was thrown");
    const many = (count: number, shape: number[]): string =>
      codeOf(() =>
        makeSchema(Array.from({ length: count }, (_, i) => ({ name: `a${i}`, dtype: "u8", shape }))),
      );
    expect(many(arraysMax, [1])).toBe("nothing was thrown");
    expect(many(arraysMax + 1, [1])).toBe("INVALID_OPTION");
    expect(many(2, [2 ** 16, 2 ** 16])).toBe("nothing was thrown");
    expect(codeOf(() => makeSchema([example.arrays[1]!, example.arrays[1]!]))).toBe("INVALID_NAME");
    expect(codeOf(() => makeSchema([example.arrays[0]!, example.arrays[0]!]))).toBe("INVALID_NAME");
  });
});

describe("text", () => {
  test("comes back the same, and equal schemas have equal texts", () => {
    fc.assert(
      fc.property(anySchema, (schema) => {
        const text = schemaToJson(schema);
        const again = schemaFromJson(text);
        expect(again).toEqual(schema);
        expect(schemaToJson(again)).toBe(text);
        expect(schemaDifference(schema, again)).toBeNull();
      }),
    );
  });

  test("is set in stone", () => {
    expect(schemaToJson(makeSchema([{ name: null, dtype: "f64", shape: [3, 390] }]))).toBe(
      '{"arrays":[{"name":null,"dtype":"f64","shape":[3,390],"offset":0,"bytes":9360}],"metaOffset":9408,"metaBytesMax":4096,"imageBytes":13504}',
    );
  });

  test("from outside is believed in nothing", () => {
    const forged = (change: (schema: any) => void): string => {
      const schema = JSON.parse(schemaToJson(example));
      change(schema);
      return codeOf(() => schemaFromJson(JSON.stringify(schema)));
    };
    expect(forged(() => {})).toBe("nothing was thrown");
    const changes: ((schema: any) => void)[] = [
      (s) => (s.arrays[1].offset = 120),
      (s) => (s.arrays[1].offset = 192),
      (s) => (s.arrays[0].bytes = 119),
      (s) => (s.arrays[0].shape = [3, 4]),
      (s) => (s.arrays[0].shape = [3, 5, 0]),
      (s) => (s.arrays[0].shape = [2 ** 32 - 1, 2 ** 32 - 1]),
      (s) => (s.arrays[0].shape = [1, 1, 1, 1, 1, 1, 1, 3, 5]),
      (s) => (s.arrays[0].dtype = "f32"),
      (s) => (s.arrays[0].dtype = "constructor"),
      (s) => (s.arrays[1].name = null),
      (s) => (s.arrays[1].name = "s"),
      (s) => (s.arrays[1].name = "a b"),
      (s) => (s.arrays[1].name = "s\n"),
      (s) => (s.arrays[1].extra = 1),
      (s) => delete s.arrays[1].name,
      (s) => (s.arrays = {}),
      (s) => (s.metaOffset = 384),
      (s) => (s.metaBytesMax = 4000),
      (s) => (s.metaBytesMax = 4097),
      (s) => (s.imageBytes += 64),
      (s) => (s.imageBytes = "4416"),
      (s) => (s.more = 1),
      (s) => delete s.metaOffset,
      (s) => (s.arrays = Array(arraysMax + 1).fill(s.arrays[0])),
    ];
    for (const change of changes)
      expect([String(change), forged(change)]).toEqual([String(change), "FORMAT"]);
    for (const text of [
      "",
      "{",
      "null",
      "[]",
      "5",
      '"x"',
      schemaToJson(example) + " ".repeat(schemaTextMax),
    ]) {
      expect(codeOf(() => schemaFromJson(text))).toBe("FORMAT");
    }
  });

  test("of any kind ends in a schema or in FORMAT", () => {
    const text = schemaToJson(example);
    fc.assert(
      fc.property(fc.nat(text.length), fc.nat(4), fc.string({ maxLength: 4 }), (at, cut, put) => {
        const code = codeOf(() => schemaFromJson(text.slice(0, at) + put + text.slice(at + cut)));
        expect(["FORMAT", "nothing was thrown"]).toContain(code);
      }),
    );
  });
});

describe("difference and look-up", () => {
  test("the first difference is named", () => {
    const base: ArraySpec[] = [
      { name: null, dtype: "f64", shape: [3, 5] },
      { name: "w", dtype: "f32", shape: [4] },
    ];
    const expected = makeSchema(base);
    const differences: [Schema, string][] = [
      [makeSchema([base[0]!, { ...base[1]!, dtype: "i32" }]), 'array "w": dtype f32 expected, i32 found'],
      [
        makeSchema([{ ...base[0]!, shape: [5, 3] }, base[1]!]),
        "the main array: shape [3, 5] expected, [5, 3] found",
      ],
      [makeSchema([base[0]!]), 'array "w" is missing'],
      [makeSchema([...base, { name: "x", dtype: "u8", shape: [] }]), 'array "x" was not expected'],
      [
        makeSchema([base[0]!, { name: "x", dtype: "u8", shape: [] }, base[1]!]),
        'array "w": offset 128 expected, 192 found',
      ],
      [makeSchema(base, 64), "metaBytesMax 4096 expected, 64 found"],
    ];
    for (const [actual, text] of differences) expect(schemaDifference(expected, actual)).toBe(text);
    const swapped = makeSchema([base[1]!, base[0]!]);
    expect(schemaDifference(expected, swapped)).toContain("the main array: ");
  });

  test("arrays are found by name", () => {
    expect(arraySchema(example, "w1")).toBe(example.arrays[1]!);
    expect(arraySchema(example, null)).toBe(example.arrays[0]!);
    expect(() => arraySchema(example, "w2")).toThrow(
      'no array "w2" here; there is the main array, array "w1", array "s"',
    );
    expect(codeOf(() => arraySchema(example, "__proto__"))).toBe("INVALID_REGION");
    expect(codeOf(() => arraySchema(makeSchema([]), null))).toBe("INVALID_REGION");
  });
});
