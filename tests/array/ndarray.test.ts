import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type Dtype, dtypes, newView, type Scalar } from "../../src/array/dtype.ts";
import {
  anyBox,
  anyDtype,
  anyScalar,
  anyShape,
  bitsOf,
  type Box,
  bytesOf,
  codeOf,
  indicesOf,
  sampleArray,
  stored,
} from "./samples.ts";

/** Nested JavaScript arrays, the model of an array. */
type Tree = Scalar | Tree[];

function treeOf(shape: readonly number[], value: Scalar): Tree {
  if (shape.length === 0) return value;
  return Array.from({ length: shape[0]! }, () => treeOf(shape.slice(1), value));
}

function at(tree: Tree, index: readonly number[]): Scalar {
  return index.reduce<Tree>((branch, i) => (branch as Tree[])[i]!, tree) as Scalar;
}

function put(tree: Tree, index: readonly number[], value: Scalar): Tree {
  if (index.length === 0) return value;
  (tree as Tree[])[index[0]!] = put((tree as Tree[])[index[0]!]!, index.slice(1), value);
  return tree;
}

function add(a: readonly number[], b: readonly number[]): number[] {
  return a.map((i, axis) => i + b[axis]!);
}

const anyWork = fc.tuple(anyDtype, anyShape).chain(([dtype, shape]) =>
  anyBox(shape).chain((outer) =>
    fc.record({
      dtype: fc.constant(dtype),
      shape: fc.constant(shape),
      outer: fc.constant(outer),
      steps: fc.array(
        fc.record({
          inner: anyBox(outer.shape),
          kind: fc.constantFrom("set", "fill", "nested", "flat", "array"),
          values: fc.array(anyScalar(dtype), { minLength: 1, maxLength: 5 }),
        }),
        { maxLength: 4 },
      ),
    }),
  ),
);

describe("against nested arrays", () => {
  test("set, fill, assign and get through slices of slices, and the bytes they report", () => {
    fc.assert(
      fc.property(anyWork, ({ dtype, shape, outer, steps }) => {
        const { array, schema, touched } = sampleArray(dtype, shape);
        let model = treeOf(
          shape,
          stored(dtype, dtype === "bool" ? false : dtype.endsWith("64") && dtype !== "f64" ? 0n : 0),
        );
        const slice = array.slice(outer.start, outer.shape);
        for (const { inner, kind, values } of steps) {
          const target = slice.slice(inner.start, inner.shape);
          const start = add(outer.start, inner.start);
          const indices = indicesOf(inner.shape);
          const value = (i: number): Scalar => values[i % values.length]!;
          const tree = (): Tree => {
            let out = treeOf(inner.shape, value(0));
            for (const [i, index] of indices.entries()) out = put(out, index, value(i));
            return out;
          };
          if (kind === "set") for (const [i, index] of indices.entries()) target.set(...index, value(i));
          if (kind === "fill") target.fill(value(0));
          if (kind === "nested") target.assign(tree());
          if (kind === "flat") target.assign(indices.map((_, i) => value(i)));
          if (kind === "array") {
            const other = sampleArray(dtype, inner.shape).array;
            other.assign(tree());
            target.assign(other);
          }
          for (const [i, index] of indices.entries()) {
            model = put(model, add(start, index), stored(dtype, value(kind === "fill" ? 0 : i)));
          }
          expect(touched()).toEqual(bytesOf(schema, { start, shape: inner.shape }));
        }
        expect(array.toArray() as Tree).toEqual(model);
        const seen = indicesOf(outer.shape);
        expect(seen.map((index) => slice.get(...index))).toEqual(
          seen.map((index) => at(model, add(outer.start, index))),
        );
        expect([...slice]).toEqual(seen.map((index) => slice.get(...index)));
        expect(touched().size).toBe(0);
      }),
      { numRuns: 300 },
    );
  });

  test("rows are slices with a dimension less", () => {
    fc.assert(
      fc.property(
        anyDtype,
        anyShape.filter((shape) => shape.length > 0),
        fc.nat(),
        (dtype, shape, seed) => {
          const { array } = sampleArray(dtype, shape);
          array.assign(Array.from({ length: array.size }, (_, i) => valueOf(dtype, i + seed)));
          const i = seed % shape[0]!;
          expect(array.row(i).toArray() as Tree).toEqual((array.toArray() as Tree[])[i]!);
          expect(array.row(i).shape).toEqual(shape.slice(1));
        },
      ),
      { numRuns: 50 },
    );
  });

  test("one number too many or too few is refused in every number of dimensions", () => {
    for (let rank = 0; rank <= 8; rank++) {
      const { array, touched } = sampleArray("u8", Array(rank).fill(2));
      const index = Array<number>(rank).fill(0);
      array.set(...index, 1);
      expect(array.get(...index)).toBe(1);
      expect(touched().size).toBe(1);
      expect(codeOf(() => array.get(...index, 0))).toBe("INVALID_INDEX");
      expect(codeOf(() => array.set(...index, 0, 1))).toBe("INVALID_INDEX");
      if (rank > 0) expect(codeOf(() => array.get(...index.slice(1)))).toBe("INVALID_INDEX");
      // The last number is taken for an index where it can be one, and then the value is missing.
      if (rank > 0) expect(codeOf(() => array.set(...index.slice(1), 1))).toBe("INVALID_DTYPE");
      if (rank > 0) expect(codeOf(() => array.set(...index.slice(1), 7))).toBe("INVALID_INDEX");
      expect(touched().size).toBe(0);
    }
  });

  test("a wrong index never reads or writes", () => {
    fc.assert(
      fc.property(anyShape, fc.array(fc.integer({ min: -2, max: 6 }), { maxLength: 9 }), (shape, index) => {
        const right = index.length === shape.length && index.every((i, axis) => i >= 0 && i < shape[axis]!);
        const { array, touched } = sampleArray("f64", shape);
        expect(codeOf(() => array.get(...index))).toBe(right ? "nothing was thrown" : "INVALID_INDEX");
        // One number too few turns the value into an index, and then no value is left.
        const code = codeOf(() => array.set(...index, 0.5));
        expect(code).toBe(right ? "nothing was thrown" : "INVALID_INDEX");
        expect(touched().size).toBe(right ? 8 : 0);
      }),
    );
  });
});

function valueOf(dtype: Dtype, i: number): Scalar {
  if (dtype === "bool") return i % 2 === 1;
  return dtype === "i64" || dtype === "u64" ? BigInt(i % 100) : i % 100;
}

describe("bits", () => {
  const patterns: [Dtype, bigint[]][] = [
    ["f64", [0x7ff8000000000001n, 0xfff0dead0000beefn, 0x8000000000000000n, 0x7ff0000000000001n]],
    ["f32", [0x7fc00001n, 0xffadbeefn, 0x80000000n, 0x7f800001n]],
    ["f16", [0x7e01n, 0xfdadn, 0x8000n, 0x7c01n]],
  ];

  test.each(patterns)("%s: assign keeps NaN payloads and -0, strided or not", (dtype, words) => {
    const source = sampleArray(dtype, [4, 2]);
    const wanted = sampleArray(dtype, [4, 1]);
    const width = source.schema.bytes / 8;
    for (const [i, word] of words.entries()) {
      writeWord(source.image, source.schema.offset + 2 * i * width, width, word);
      writeWord(wanted.image, wanted.schema.offset + i * width, width, word);
    }
    const column = source.array.slice([0, 0], [4, 1]);
    expect(column.equals(wanted.array)).toBe(true);
    const packed = sampleArray(dtype, [4, 1]).array;
    packed.assign(column);
    expect(bitsOf(packed.data)).toBe(bitsOf(wanted.array.data));
    const strided = sampleArray(dtype, [4, 3]).array.slice([0, 1], [4, 1]);
    strided.assign(column);
    expect(strided.equals(wanted.array)).toBe(true);
    const flat = sampleArray(dtype, [4]).array;
    flat.assign(wanted.array.data);
    expect(bitsOf(flat.data)).toBe(bitsOf(wanted.array.data));
  });

  function writeWord(image: ArrayBuffer, at: number, width: number, word: bigint): void {
    const bytes = new DataView(image, at, width);
    for (let b = 0; b < width; b++) bytes.setUint8(b, Number((word >> BigInt(8 * b)) & 255n));
  }

  test("0 and -0 differ, a NaN equals itself, and so does every dtype's content", () => {
    for (const dtype of dtypes) {
      const [a, b] = [sampleArray(dtype, [2, 3]).array, sampleArray(dtype, [2, 3]).array];
      expect(a.equals(b)).toBe(true);
      b.set(1, 2, valueOf(dtype, 1));
      expect(a.equals(b)).toBe(false);
      a.assign(b);
      expect(a.slice([0, 1], [2, 2]).equals(b.slice([0, 1], [2, 2]))).toBe(true);
    }
    const [a, b] = [sampleArray("f64", [1]).array, sampleArray("f64", [1]).array];
    a.set(0, -0);
    expect(a.equals(b)).toBe(false);
    a.fill(NaN);
    b.fill(NaN);
    expect(a.equals(b)).toBe(true);
    expect(a.equals(sampleArray("f64", []).array)).toBe(false);
    expect(sampleArray("u8", [2]).array.equals(sampleArray("bool", [2]).array)).toBe(false);
  });

  test("assigning a slice to one that overlaps it moves what was there before", () => {
    fc.assert(
      fc.property(fc.array(anyBox([4, 5]), { minLength: 2, maxLength: 2 }), fc.boolean(), (boxes, typed) => {
        const [from, to] = boxes as [Box, Box];
        const shape = from.shape.map((count, axis) => Math.min(count, to.shape[axis]!));
        const { array } = sampleArray("i32", [4, 5]);
        array.assign(Array.from({ length: 20 }, (_, i) => i));
        const before = array.slice(from.start, shape).toArray();
        const source = array.slice(from.start, shape);
        array.slice(to.start, shape).assign(typed && source.contiguous ? source.data : source);
        expect(array.slice(to.start, shape).toArray()).toEqual(before);
      }),
    );
  });

  test("a flat source in the target's own memory is read before it is overwritten", () => {
    const { array } = sampleArray("u16", [4, 2]);
    array.assign([1, 2, 3, 4, 5, 6, 7, 8]);
    array.slice([0, 1], [4, 1]).assign(array.data.subarray(0, 4));
    expect(array.toArray()).toEqual([
      [1, 1],
      [3, 2],
      [5, 3],
      [7, 4],
    ]);
  });
});

describe("conversion", () => {
  test("numbers go in as into a typed array; bool is reduced to 0 and 1", () => {
    const u8 = sampleArray("u8", [4]).array;
    u8.assign([-1, 256, 3.9, NaN]);
    expect(u8.toArray()).toEqual([255, 0, 3, 0]);
    const bool = sampleArray("bool", [4]).array;
    bool.assign(u8);
    expect(bool.toArray()).toEqual([true, false, true, false]);
    expect([...bool.data]).toEqual([1, 0, 1, 0]);
    const f32 = sampleArray("f32", [4]).array;
    f32.assign(bool);
    expect(f32.toArray()).toEqual([1, 0, 1, 0]);
    const f64 = sampleArray("f64", [2, 2]).array;
    f64.assign([new Float32Array([1, 2]), [3, 4]]);
    expect(f64.toArray()).toEqual([
      [1, 2],
      [3, 4],
    ]);
  });

  test("numbers, bigints and booleans are not mistaken for one another", () => {
    const [f64, i64, bool] = [sampleArray("f64", [2]), sampleArray("i64", [2]), sampleArray("bool", [2])];
    const wrong: [typeof f64, unknown][] = [
      [f64, 5n],
      [f64, true],
      [f64, "5"],
      [f64, null],
      [f64, undefined],
      [i64, 5],
      [i64, false],
      [bool, 1n],
      [bool, "true"],
    ];
    for (const [{ array, touched }, value] of wrong) {
      const loose = array as {
        set(i: number, value: unknown): void;
        fill(value: unknown): void;
        assign(v: unknown): void;
      };
      expect(codeOf(() => loose.set(0, value))).toBe("INVALID_DTYPE");
      expect(codeOf(() => loose.fill(value))).toBe("INVALID_DTYPE");
      expect(codeOf(() => loose.assign([value, value]))).toBe("INVALID_DTYPE");
      expect(touched().size).toBe(0);
    }
    expect(codeOf(() => i64.array.assign(f64.array))).toBe("INVALID_DTYPE");
    expect(codeOf(() => f64.array.assign(i64.array))).toBe("INVALID_DTYPE");
    expect(codeOf(() => f64.array.assign(new BigInt64Array(2)))).toBe("INVALID_DTYPE");
  });

  test("a source of another shape is refused before anything is written", () => {
    const { array, touched } = sampleArray("f64", [2, 3]);
    const sources: unknown[] = [
      [],
      [1, 2],
      [[1, 2, 3]],
      [
        [1, 2, 3],
        [4, 5],
      ],
      [[1, 2, 3], 4],
      [
        [[1], [2], [3]],
        [4, 5, 6],
      ],
      7,
    ];
    for (const source of sources)
      expect(codeOf(() => array.assign(source as number[]))).toBe("INVALID_SHAPE");
    expect(codeOf(() => array.assign(sampleArray("f64", [3, 2]).array))).toBe("INVALID_SHAPE");
    expect(codeOf(() => array.assign(new Float64Array(5)))).toBe("INVALID_SHAPE");
    expect(touched().size).toBe(0);
  });
});

test("copyTo copies what is there in C order, side by side or not, and refuses what does not fit", () => {
  fc.assert(
    fc.property(anyDtype, anyShape, (dtype, shape) => {
      const { array } = sampleArray(dtype, shape);
      const start = shape.map((extent) => Math.floor(extent / 3));
      const box = array.slice(
        start,
        shape.map((extent, axis) => extent - start[axis]!),
      );
      for (const source of [array, box]) {
        const target = newView<Dtype>(dtype, source.size);
        source.copyTo(target);
        const copy = sampleArray(dtype, source.shape);
        copy.array.data.set(target as never);
        expect(copy.array.equals(source)).toBe(true);
        expect(codeOf(() => source.copyTo(newView<Dtype>(dtype, source.size + 1)))).toBe("INVALID_SHAPE");
      }
      const other = dtype === "f64" ? new Float32Array(array.size) : new Float64Array(array.size);
      expect(codeOf(() => array.copyTo(other))).toBe("INVALID_DTYPE");
    }),
  );
});
