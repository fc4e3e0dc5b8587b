/** Segments whose blocks are larger than 64 bytes. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { makeSchema } from "../../src/array/schema.ts";
import { Storage } from "../../src/node/storage/storage.ts";

setDefaultTimeout(30_000);

describe.each([
  ["64 MiB", 2 ** 23, 64],
  ["above 64 MiB", 2 ** 23 + 5, 128],
  ["above 256 MiB", 2 ** 25 + 1, 512],
])("an image of %s", (_, cells, blockBytes) => {
  const metaBytesMax = blockBytes === 64 ? 64 : 1000;
  const first = blockBytes === 64 ? cells - 32 : cells;
  const schema = makeSchema(
    [
      { name: null, dtype: "f64", shape: [first] },
      { name: "small", dtype: "u8", shape: [3] },
      { name: "next", dtype: "u8", shape: [65] },
    ],
    metaBytesMax,
  );

  test("what changes in one array, or in the metadata, is in no block of another", () => {
    using storage = Storage.createPrivate(schema);
    expect(storage.segment.blockBytes).toBe(blockBytes);
    const changed = (write: Parameters<Storage["write"]>[0]) => {
      const before = storage.version;
      storage.write(write);
      const { runs } = storage.changedSince(before);
      const parts = [...schema.arrays, { name: "metadata", offset: schema.metaOffset, bytes: metaBytesMax }];
      return parts
        .filter(({ offset, bytes }) =>
          runs.some((from, i) => i % 2 === 0 && from < offset + bytes && from + runs[i + 1]! > offset),
        )
        .map(({ name }) => name);
    };
    expect(changed((a) => a.set(first - 1, 1))).toEqual([null]);
    expect(changed((_, tx) => tx.array("small").set(0, 1))).toEqual(["small"]);
    expect(changed((_, tx) => tx.array("next").set(64, 1))).toEqual(["next"]);
    expect(changed((_, tx) => (tx.meta = 1))).toEqual(["metadata"]);
  });
});
