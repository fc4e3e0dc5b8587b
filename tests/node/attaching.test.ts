import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { attach, type AttachOptions, MemblastError, type Node, start } from "../../src/index.ts";
import { uniqueName } from "../memory/names.ts";
import { codeOf } from "./until.ts";

setDefaultTimeout(30_000);

const name = uniqueName("attaching");
let node: Node;

beforeAll(async () => {
  node = await start(name, {
    shape: [3, 390],
    arrays: { w1: { shape: [784, 32], dtype: "f32" }, flags: { shape: [10], dtype: "bool" } },
    share: true,
    metaBytesMax: 512,
  });
});
afterAll(() => node.close());

async function differenceOf(options: AttachOptions): Promise<unknown> {
  try {
    await (await attach(name, options)).close();
    return null;
  } catch (error) {
    expect((error as MemblastError).code).toBe("SCHEMA_MISMATCH");
    return (error as MemblastError).details["difference"];
  }
}

describe("attach with expectations", () => {
  test("lets in what is as expected, and does not compare what is not said", async () => {
    const fitting: AttachOptions[] = [
      {},
      { shape: [3, 390] },
      { dtype: "f64" },
      { shape: [3, 390], dtype: "f64", arrays: { flags: { dtype: "bool" } } },
      { arrays: { w1: {}, flags: { shape: [10] } } },
      { schema: node.schema, writers: "one", mode: "r" },
    ];
    for (const options of fitting) expect(await differenceOf(options)).toBeNull();
  });

  test.each([
    [{ shape: [3, 391] }, "the main array: shape [3, 391] expected, [3, 390] found"],
    [{ shape: [3] }, "the main array: shape [3] expected, [3, 390] found"],
    [{ dtype: "i64", shape: [1] }, "the main array: dtype i64 expected, f64 found"],
    [{ arrays: { w2: {} } }, 'array "w2" is missing'],
    [{ arrays: { w1: { shape: [784, 32], dtype: "f64" } } }, 'array "w1": dtype f64 expected, f32 found'],
    [{ arrays: { w1: { shape: [32, 784] } } }, 'array "w1": shape [32, 784] expected, [784, 32] found'],
    [{ writers: "many" }, 'writers "many" expected, "one" found'],
  ] as [AttachOptions, string][])("names the first difference: %j", async (options, difference) => {
    expect(await differenceOf(options)).toBe(difference);
  });

  test("compares a whole schema field by field", async () => {
    await using other = await start("other", {
      shape: [3, 390],
      arrays: { w1: { shape: [784, 32], dtype: "f32" } },
      metaBytesMax: 512,
    });
    expect(await differenceOf({ schema: other.schema })).toBe('array "flags" was not expected');
    const smaller = { ...node.schema, metaBytesMax: 64 };
    expect(await differenceOf({ schema: smaller })).toBe("metaBytesMax 64 expected, 512 found");
  });

  test("unknown options, and ones of the wrong kind, are refused", async () => {
    for (const options of [
      { size: 3 },
      { mode: "w" },
      { shape: 3 },
      { writers: "all" },
      { lockTimeoutMs: -1 },
      { schema: {} },
      { schema: { ...node.schema, arrays: [null] } },
      { schema: { ...node.schema, arrays: [{ name: "a" }] } },
    ])
      expect(await codeOf(() => attach(name, options as unknown as AttachOptions))).toBe("INVALID_OPTION");
  });

  test("so is a name that is none", async () => {
    for (const wrong of [5, null, undefined, {}, ["a"], ""])
      expect(await codeOf(() => attach(wrong as string))).toBe("INVALID_NAME");
    for (const wrong of [5, { name }])
      await expect(attach(wrong as never)).rejects.toThrow(
        /^The name of a segment comes first, as a text: attach/,
      );
  });

  test("where nobody has started one of that name, it is said how", async () => {
    const attached = attach(uniqueName("nobody"));
    await expect(attached).rejects.toThrow(
      /no such segment: start it with share: true; list\(\) names those that/,
    );
  });
});
