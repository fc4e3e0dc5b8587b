/** Typed arrays of what may only be read, and somebody who stores into them all the same. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { truncateSync } from "node:fs";
import { placeOf } from "../../src/memory/place.ts";
import { attach, type Node, start } from "../../src/index.ts";
import { Child } from "../memory/child.ts";
import { uniqueName } from "../memory/names.ts";

setDefaultTimeout(30_000);

const options = {
  shape: [20_000],
  dtype: "u8",
  arrays: { other: { shape: [3], dtype: "f32" } },
} as const;

function fill(node: Node, value: number): void {
  node.write((a, tx) => {
    a.fill(value);
    tx.array("other").fill(value);
  });
}

describe("a store into the raw view of a shared array that may only be read", () => {
  test.each([
    ["one", "r"],
    ["many", "r"],
    ["many", "rw"],
  ] as const)(
    "writers %s, attached with mode %s: neither ends the process nor reaches anybody",
    async (writers, mode) => {
      const name = uniqueName("raw");
      await using node = await start(name, { ...options, share: true, writers });
      fill(node, 1);
      await using child = new Child("../../node/children/scribble.ts", [name, mode]);
      expect(await child.json<unknown>()).toEqual({ raw: [1, 1, 1], cells: [1, 1, 1] });
      expect(await child.json<unknown>()).toEqual({
        raw: [99, 1, 1],
        cells: [1, 1, 1],
        kept: true,
        slice: 99,
      });
      await using other = await attach(name);
      for (const each of [node, other]) {
        expect(each.verify().damage).toEqual([]);
        expect(each.read((a) => a.toArray())).toEqual(Array(20_000).fill(1));
        expect(each.read((_, view) => view.array("other").toArray())).toEqual([1, 1, 1]);
        expect([each.ndarray().data[0], each.ndarray("other").data[2]]).toEqual([1, 1]);
      }
      fill(node, 2);
      // The page it stored into is its own from then on; of all others it goes on seeing every commit.
      expect(await child.json<unknown>()).toEqual({ raw: [99, 1, 2], cells: [2, 2, 2] });
      expect(await child.exited).toBe(0);
    },
  );

  test("by the owner itself: the committed image stays as it was", async () => {
    const name = uniqueName("raw");
    await using node = await start(name, { ...options, share: true });
    fill(node, 1);
    node.read((a) => (a.data as Uint8Array).fill(99));
    (node.ndarray().slice([8192], [4096]).data as Uint8Array).fill(98);
    expect(node.verify().damage).toEqual([]);
    expect(node.snapshot().array.toArray()).toEqual(Array(20_000).fill(1));
    node.write((a) => a.set(3, 5));
    expect(node.read((a) => [a.get(0), a.get(3), a.get(8192)])).toEqual([1, 5, 1]);
    await using other = await attach(name);
    expect(other.read((a) => [a.get(0), a.get(3), a.get(8192)])).toEqual([1, 5, 1]);
  });

  test("the view is one, whoever asks for it, and empty after closing", async () => {
    const name = uniqueName("raw");
    const node = await start(name, { ...options, share: true });
    fill(node, 7);
    const raw = node.ndarray().data;
    expect(node.read((a) => a.data)).toBe(raw);
    expect(node.ndarray().slice([10], [5]).data.buffer).toBe(raw.buffer);
    expect([raw.length, raw[0], raw[19_999]]).toEqual([20_000, 7, 7]);
    await node.close();
    expect(raw.length).toBe(0);
  });

  test("in a file that was cut it is zeros, and reading says so", async () => {
    const name = uniqueName("raw");
    await using node = await start(name, { ...options, share: true });
    fill(node, 1);
    await using local = await attach(name);
    const raw = local.ndarray().data;
    expect(raw[0]).toBe(1);
    truncateSync(placeOf(name).data, 4096);
    expect([raw[5000], raw[19_999]]).toEqual([0, 0]); // no other access of this process has touched the lost pages
    expect(() => local.read((a) => a.get(0))).toThrow("cut the file short");
    expect(raw.length).toBe(0);
  });
});
