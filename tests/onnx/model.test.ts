import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { MemblastError, start } from "../../src/index.ts";
import { assignWeights, modelWithInputs, weightArrays, writeModel } from "../../src/onnx/index.ts";
import {
  fields,
  floatField,
  integerField,
  integers,
  join as bytesOf,
  messageField,
  text,
  textField,
} from "../../src/onnx/protobuf.ts";
import { bfloat16, modelOf, packed, raw, tensor } from "./samples.ts";

setDefaultTimeout(30_000);

const mnist7 = join(import.meta.dir, "../../../shared/data/onnx/mnist-7/model.onnx");

function bits(view: ArrayBufferView): string {
  return new Uint8Array(view.buffer as ArrayBuffer, view.byteOffset, view.byteLength).toHex();
}

describe("protobuf", () => {
  test("fields come back as they were written", () => {
    const entry = fc.oneof(
      fc.record({
        number: fc.integer({ min: 1, max: 2 ** 29 - 1 }),
        integer: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
      }),
      fc.record({ number: fc.integer({ min: 1, max: 2 ** 29 - 1 }), text: fc.string({ unit: "binary" }) }),
    );
    fc.assert(
      fc.property(fc.array(entry), (entries) => {
        const bytes = bytesOf(
          entries.flatMap((one) =>
            "text" in one ? textField(one.number, one.text) : integerField(one.number, one.integer),
          ),
        );
        const read = [...fields(bytes)].map((field, i) => {
          const { number } = field;
          return "text" in (entries[i] ?? {})
            ? { number, text: text(field) }
            : { number, integer: integers(field)[0] };
        });
        expect(read as unknown).toEqual(entries);
        expect(bytesOf([...fields(bytes)].map(({ raw }) => raw))).toEqual(bytes);
      }),
    );
  });

  test("the examples of the format's own description", () => {
    // https://protobuf.dev/programming-guides/encoding: 150 in field 1; "testing" in field 2; [3, 270, 86942] packed in field 6.
    expect(bytesOf(integerField(1, 150)).toHex()).toBe("089601");
    expect(bytesOf(textField(2, "testing")).toHex()).toBe("120774657374696e67");
    const [list] = fields(Uint8Array.fromHex("3206038e029ea705"));
    expect(list && integers(list)).toEqual([3n, 270n, 86942n]);
    expect(bytesOf(integerField(1, -2)).toHex()).toBe("08feffffffffffffffff01");
    expect(bytesOf(floatField(3, 1)).toHex()).toBe("1d0000803f");
  });

  test.each([
    ["0a05ff", "ends within a field"],
    ["08", "ends within a number"],
    ["08ffffffffffffffffffffff01", "more than 10 bytes"],
    ["0b", "wire type 3"],
    ["0d000000", "ends within a field"],
  ])("%s is no message", (hex, sentence) => {
    expect(() => [...fields(Uint8Array.fromHex(hex))]).toThrow(sentence);
  });
});

describe("modelWithInputs", () => {
  const halves = new Float16Array([1.5, -2]);
  const model = modelOf([
    tensor("raw", "f32", [2, 2], raw(new Float32Array([1, 2, 3, 4]))),
    tensor("floats", "f32", [3], packed(4, new Float32Array([5, NaN, -0]))),
    tensor("one by one", "f32", [2], floatField(4, 7), floatField(4, 8)),
    tensor("doubles", "f64", [2], packed(10, new Float64Array([1e300, -1]))),
    tensor("halves", "f16", [2], packed(5, [...new Uint16Array(halves.buffer)].map(BigInt))),
    tensor("scalar", "f32", [], raw(new Float32Array([9]))),
    tensor("shape", "i64", [2], raw(new BigInt64Array([1n, -1n]))),
    tensor("brain", bfloat16, [1], messageField(9, [new Uint8Array(2)])),
    tensor("empty", "f32", [0]),
  ]);

  test("takes out the floats, however they are stored, bit by bit, and nothing else", () => {
    const { model: rest, weights } = modelWithInputs(model);
    expect(weights.map(({ name, dtype, data }) => [name, dtype, bits(data)])).toEqual([
      ["raw", "f32", bits(new Float32Array([1, 2, 3, 4]))],
      ["floats", "f32", bits(new Float32Array([5, NaN, -0]))],
      ["one by one", "f32", bits(new Float32Array([7, 8]))],
      ["doubles", "f64", bits(new Float64Array([1e300, -1]))],
      ["halves", "f16", bits(halves)],
      ["scalar", "f32", bits(new Float32Array([9]))],
    ]);
    expect(weights.map(({ shape }) => shape)).toEqual([[2, 2], [3], [2], [2], [2], []]);
    expect(weights.map(({ array }) => array)[2]).toBe("one_by_one");
    // What is left has nothing more to take out, and is what a session of its own would be built from.
    const again = modelWithInputs(rest, () => true);
    expect(again.weights.map(({ name }) => name)).toEqual(["shape"]);
    expect(new TextDecoder().decode(rest)).toContain("a text behind the graph");
  });

  test("takes what it is told to take", () => {
    const { weights } = modelWithInputs(model, ({ name }) => name === "shape" || name === "raw");
    expect(weights.map(({ name, data }) => [name, data])).toEqual([
      ["raw", new Float32Array([1, 2, 3, 4])],
      ["shape", new BigInt64Array([1n, -1n])],
    ]);
  });

  test("makes each weight an input once, also where it is listed as one already", () => {
    const inputs = (bytes: Uint8Array) => {
      const [graph] = [...fields(bytes)].filter(({ number }) => number === 7);
      return [...fields(graph?.bytes ?? new Uint8Array())]
        .filter(({ number }) => number === 11)
        .map(({ bytes }) => text([...fields(bytes)][0]!));
    };
    const one = tensor("w", "f32", [2], raw(new Float32Array(2)));
    expect(inputs(modelWithInputs(modelOf([one])).model)).toEqual(["x", "w"]);
    expect(inputs(modelWithInputs(modelOf([one], ["w"])).model)).toEqual(["x", "w"]);
  });

  test("array names are valid and different", async () => {
    const weight = (name: string) => tensor(name, "f32", [1], raw(new Float32Array(1)));
    const names = [
      "/conv/weight",
      "_conv_weight",
      "conv weight",
      "conv/weight",
      "é".repeat(300),
      "onnx::MatMul_12",
    ];
    const { weights } = modelWithInputs(modelOf(names.map(weight)));
    expect(weights.map(({ array }) => array)).toEqual([
      ...[
        "_conv_weight",
        "_conv_weight:2",
        "conv_weight",
        "conv_weight:2",
        "_".repeat(112),
        "onnx::MatMul_12",
      ],
    ]);
    await using node = await start("names", { arrays: weightArrays(weights) });
    node.write((_, tx) => assignWeights(tx, weights));
  });

  test.each([
    ["no bytes", new Uint8Array(), "FORMAT"],
    ["no model", new TextEncoder().encode("PK\x03\x04 and so on"), "FORMAT"],
    ["too few values", modelOf([tensor("w", "f32", [3], raw(new Float32Array(2)))]), "FORMAT"],
    ["too few integers", modelOf([tensor("w", "f16", [3], packed(5, [1n, 2n]))]), "FORMAT"],
    [
      "another file",
      modelOf([tensor("w", "f32", [3], messageField(13, textField(1, "location")), integerField(14, 1))]),
      "INVALID_OPTION",
    ],
  ])("refuses %s", (_, bytes, code) => {
    expect(() => modelWithInputs(bytes)).toThrow(expect.objectContaining({ code }));
  });

  test("cut or damaged anywhere it reads something else or says FORMAT, and never anything worse", () => {
    const seed = 7;
    const look = (bytes: Uint8Array) => {
      try {
        modelWithInputs(bytes);
      } catch (error) {
        if (!(error instanceof MemblastError)) throw error;
      }
    };
    for (let length = 0; length < model.length; length++) look(model.subarray(0, length));
    const damage = fc.tuple(fc.nat(model.length - 1), fc.integer({ min: 0, max: 255 }));
    fc.assert(
      fc.property(fc.array(damage, { minLength: 1, maxLength: 4 }), (places) => {
        const bytes = model.slice();
        for (const [at, value] of places) bytes[at] = value;
        look(bytes);
      }),
      { seed, numRuns: 2000 },
    );
  });
});

test("a written model is one that can be read", () => {
  const bytes = writeModel({
    name: "g",
    inputs: [{ name: "x", dtype: "f32", shape: ["rows", 3] }],
    outputs: [{ name: "y", dtype: "f32", shape: ["rows"] }],
    operators: [
      {
        op: "ReduceMax",
        inputs: ["x"],
        outputs: ["y"],
        attributes: { axes: { ints: [1] }, keepdims: { int: 0 }, alpha: { float: 0.5 } },
      },
    ],
  });
  const { model, weights } = modelWithInputs(bytes);
  expect(weights).toEqual([]);
  expect(model).toEqual(bytes);
});

test("weights go through a node and come out bit by bit", async () => {
  const { weights } = modelWithInputs(
    modelOf([
      tensor("a", "f32", [2, 2], raw(new Float32Array([1, -0, Infinity, 4]))),
      tensor("b", "f16", [3], raw(new Float16Array([1, 2, 65504]))),
    ]),
  );
  await using node = await start("weights", { arrays: weightArrays(weights) });
  node.write((_, tx) => assignWeights(tx, weights));
  for (const { array, data, shape } of weights) {
    expect(node.read((_, view) => bits(view.array(array).data))).toBe(bits(data));
    expect(node.ndarray(array).shape).toEqual(shape);
  }
});

if (!existsSync(mnist7)) console.warn(`SKIPPED: ${mnist7} is not there; nothing is tested with a real model`);
test.skipIf(!existsSync(mnist7))("a real model: mnist-7 of the ONNX model zoo", async () => {
  const bytes = await Bun.file(mnist7).bytes();
  const { model, weights } = modelWithInputs(bytes);
  expect(weights.map(({ name, shape }) => [name, shape])).toEqual([
    ["Parameter193", [16, 4, 4, 10]],
    ["Parameter87", [16, 8, 5, 5]],
    ["Parameter5", [8, 1, 5, 5]],
    ["Parameter6", [8, 1, 1]],
    ["Parameter88", [16, 1, 1]],
    ["Parameter194", [1, 10]],
  ]);
  const weightBytes = weights.reduce((sum, { data }) => sum + data.byteLength, 0);
  expect(bytes.length - model.length).toBeGreaterThan(weightBytes);
});
