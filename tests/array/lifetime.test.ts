import { describe, expect, test } from "bun:test";
import { Lease } from "../../src/array/lease.ts";
import { NdArray } from "../../src/array/ndarray.ts";
import { bytesOf, codeOf, sampleArray } from "./samples.ts";

describe("lifetime", () => {
  const uses: [string, (array: NdArray) => unknown][] = [
    ["get", (array) => array.get(0, 0)],
    ["set", (array) => array.set(0, 0, 1)],
    ["fill", (array) => array.fill(1)],
    ["assign", (array) => array.assign([1, 2, 3, 4])],
    ["data", (array) => array.data],
    ["toArray", (array) => array.toArray()],
    ["iteration", (array) => [...array]],
    ["equals", (array) => array.equals(sampleArray("f64", [2, 2]).array)],
    ["equals, as the other", (array) => sampleArray("f64", [2, 2]).array.equals(array)],
    ["assign, as the source", (array) => sampleArray("f64", [2, 2]).array.assign(array)],
    ["a slice's get", (array) => array.slice([0, 0], [1, 1]).get(0, 0)],
  ];

  test.each(uses)(
    "%s: VIEW_EXPIRED once the lease is closed, well again when it is open, CLOSED without memory",
    (_, use) => {
      const { array, lease, image, touched } = sampleArray("f64", [2, 2]);
      use(array);
      touched();
      lease.open = false;
      expect(codeOf(() => use(array))).toBe("VIEW_EXPIRED");
      lease.open = true;
      expect(codeOf(() => use(array))).toBe("nothing was thrown");
      structuredClone(image, { transfer: [image] });
      expect(codeOf(() => use(array))).toBe("CLOSED");
      lease.open = false;
      expect(codeOf(() => use(array))).toBe("CLOSED");
    },
  );

  test("a view for reading refuses to write, and only that", () => {
    const { schema, image } = sampleArray("f64", [2, 2]);
    const array = NdArray.over(schema, image, Lease.readOnly());
    const writes = ["set", "fill", "assign"];
    for (const [name, use] of uses) {
      expect([name, codeOf(() => use(array))]).toEqual([
        name,
        writes.includes(name) ? "READ_ONLY" : "nothing was thrown",
      ]);
    }
  });

  test("an iteration that outlives its transaction ends in an error", () => {
    const { array, lease } = sampleArray("f64", [3]);
    const elements = array[Symbol.iterator]();
    elements.next();
    lease.open = false;
    expect(codeOf(() => elements.next())).toBe("VIEW_EXPIRED");
  });
});

describe("data", () => {
  test("is the memory itself, and touches all of it", () => {
    const { array, schema, image, touched } = sampleArray("f32", [3, 4]);
    const row = array.row(1);
    row.data[2] = 7;
    expect(touched()).toEqual(bytesOf(schema, { start: [1, 0], shape: [1, 4] }));
    expect(array.get(1, 2)).toBe(7);
    expect(array.data.buffer).toBe(image);
    expect(array.byteOffset).toBe(schema.offset);
    expect(row.byteOffset).toBe(schema.offset + 16);
  });

  test("is refused where elements do not lie side by side", () => {
    const { array } = sampleArray("f32", [3, 4]);
    expect(array.slice([0, 0], [3, 1]).contiguous).toBe(false);
    expect(codeOf(() => array.slice([0, 0], [3, 1]).data)).toBe("INVALID_SHAPE");
    expect(array.slice([1, 1], [1, 2]).data.length).toBe(2);
  });
});

describe("errors and text", () => {
  test("say what was asked and what there is", () => {
    const { array } = sampleArray("f64", [3, 390]);
    expect(() => array.get(1, 390)).toThrow(
      "index [1, 390]: 390 on axis 1 is not a whole number from 0 to 389 (shape [3, 390])",
    );
    expect(() => array.set(1, 2, 3, 4)).toThrow("index [1, 2, 4] is 3 long, shape [3, 390] needs 2");
    expect(() => array.get(0.5, 0)).toThrow("0.5 on axis 0");
    expect(() => array.slice([2, 0], [2, 390])).toThrow(
      "slice: 2 from 2 on axis 0 is outside the array's [3, 390]",
    );
    expect(codeOf(() => array.slice([0, 0], [0, 1]))).toBe("INVALID_REGION");
    expect(codeOf(() => array.slice([0], [1]))).toBe("INVALID_REGION");
    expect(codeOf(() => array.row(3))).toBe("INVALID_INDEX");
    expect(codeOf(() => sampleArray("f64", []).array.row(0))).toBe("INVALID_INDEX");
  });

  test("small arrays are shown whole, large ones by their ends", () => {
    const { array } = sampleArray("f64", [2, 3]);
    array.assign([
      [1, -0, NaN],
      [0.1, 2, 1e21],
    ]);
    expect(Bun.inspect(array)).toBe("NdArray f64 [2, 3]\n[[    1,    -0,   NaN],\n [  0.1,     2, 1e+21]]");
    const large = sampleArray("u16", [100, 20]).array;
    large.row(99).fill(7);
    expect(String(large).split("\n")).toEqual([
      "NdArray u16 [100, 20]",
      "[[0, 0, 0, ..., 0, 0, 0],",
      " [0, 0, 0, ..., 0, 0, 0],",
      " [0, 0, 0, ..., 0, 0, 0],",
      " ...,",
      " [0, 0, 0, ..., 0, 0, 0],",
      " [0, 0, 0, ..., 0, 0, 0],",
      " [7, 7, 7, ..., 7, 7, 7]]",
    ]);
    const cube = sampleArray("bool", [2, 1, 2]).array;
    expect(String(cube)).toBe("NdArray bool [2, 1, 2]\n[[[false, false]],\n\n [[false, false]]]");
    const scalar = sampleArray("i64", []);
    scalar.array.set(-5n);
    expect(String(scalar.array)).toBe("NdArray i64 []\n-5");
    scalar.lease.open = false;
    expect(String(scalar.array)).toBe("NdArray i64 [] (expired)");
    structuredClone(scalar.image, { transfer: [scalar.image] });
    expect(String(scalar.array)).toBe("NdArray i64 [] (closed)");
  });
});
