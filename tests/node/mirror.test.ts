import { expect, test } from "bun:test";
import { makeSchema } from "../../src/array/schema.ts";
import { Mapping } from "../../src/delta/mapping.ts";
import { fullRegion } from "../../src/delta/region.ts";
import { type LeafHasher, leafBytes, MerkleTree } from "../../src/integrity/merkle.ts";
import { hasher } from "../../src/memory/digest.ts";
import { Image } from "../../src/node/following/image.ts";
import { Replica, type ReplicaMemory } from "../../src/node/following/replica.ts";
import { Storage } from "../../src/node/storage/storage.ts";
import type { Delta } from "../../src/protocol/assembly.ts";

const leaves = 64;
const bytes = leaves * leafBytes;
const schema = makeSchema([{ name: null, dtype: "u8", shape: [bytes] }], 8);

/** A replica in some memory, and how many leaves it has hashed. */
class Bench {
  hashed = 0;
  readonly replica: Replica;

  constructor(memory: ReplicaMemory) {
    const counting: LeafHasher = {
      leaves: (data, of) => ((this.hashed += Math.ceil(data.length / of)), hasher.leaves(data, of)),
      nodes: hasher.nodes,
    };
    const region = fullRegion(schema.arrays[0]!);
    const mapping = new Mapping(schema, schema, [{ source: region, target: region }]);
    this.replica = new Replica("s", memory, mapping, { hasher: counting });
  }

  /** One byte of each of these leaves, and the root. Returns what became of it, and how many leaves were hashed for it. */
  apply(first: number, count: number, value: number, root: Uint8Array, about: Partial<Delta> = {}) {
    const before = this.hashed;
    const runs = Float64Array.from({ length: 2 * count }, (_, i) =>
      i % 2 ? 1 : schema.arrays[0]!.offset + (first + i / 2) * leafBytes,
    );
    const version = this.replica.version;
    const head = { incarnation: "", subscription: 1, from: version, to: version + 1, totalBytes: count };
    const flags = { full: false, repair: false, meta: undefined, root, partsBefore: 0, ...about };
    const chunks = [{ runs, data: new Uint8Array(count).fill(value) }];
    const result = this.replica.apply({ ...head, ...flags, chunks });
    return { result, hashed: this.hashed - before };
  }
}

/** The tree over zeros but for `value` at the beginning of these leaves. */
function treeOf(values: ReadonlyMap<number, number>): MerkleTree {
  const data = new Uint8Array(bytes);
  for (const [leaf, value] of values) data[leaf * leafBytes] = value;
  const tree = new MerkleTree(bytes, hasher);
  tree.update(0, leaves, data);
  return tree;
}

const wrong = new Uint8Array(32).fill(1);

test.each([
  ["a segment", () => Storage.createPrivate(schema)],
  ["an image", () => new Image(schema)],
])("in %s deltas that disagree cost their own leaves, and leave the tree of what is there", (_, memoryOf) => {
  const memory = memoryOf();
  const bench = new Bench(memory as ReplicaMemory);
  const values = new Map([[5, 50]]);
  expect(bench.apply(5, 1, 50, treeOf(values).root()).result.kind).toBe("ok");
  for (let round = 0; round < 3; round++) {
    expect(bench.apply(0, leaves, 7, wrong).result.kind).toBe("mismatch");
    expect(bench.apply(1, 0, 7, wrong).hashed).toBe(leaves); // back to what they were
    for (let i = 0; i < 20; i++) {
      const { result, hashed } = bench.apply(i, 1, 8, wrong);
      expect([result.kind, hashed <= 2]).toEqual(["mismatch", true]);
      if (result.kind === "mismatch" && i % 7 === 6)
        expect(result.leafHashes()).toEqual(treeOf(values).leafHashes());
    }
    values.set(40 + round, 9);
    expect(bench.apply(40 + round, 1, 9, treeOf(values).root())).toMatchObject({ result: { kind: "ok" } });
    expect(bench.apply(0, 0, 0, treeOf(values).root()).hashed).toBe(0);
  }
  if (memory instanceof Storage) memory.close();
});
