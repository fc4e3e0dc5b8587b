import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { MemblastError } from "../../src/errors.ts";
import { hashBytes, leafBytes, MerkleTree, type LeafHasher } from "../../src/integrity/merkle.ts";

function sha256(...parts: Uint8Array[]): Uint8Array {
  const hash = new Bun.CryptoHasher("sha256");
  for (const part of parts) hash.update(part);
  return new Uint8Array(hash.digest());
}

const leafPrefix = new Uint8Array([0]);
const nodePrefix = new Uint8Array([1]);

/** Counts the hashes made. */
class CountingHasher implements LeafHasher {
  leafHashes = 0;
  nodeHashes = 0;
  nodeCalls = 0;

  leaves(data: Uint8Array, bytes: number): Uint8Array {
    const hashes: number[] = [];
    for (let at = 0; at < data.length; at += bytes) {
      hashes.push(...sha256(leafPrefix, data.subarray(at, at + bytes)));
      this.leafHashes++;
    }
    return new Uint8Array(hashes);
  }

  nodes(children: Uint8Array): Uint8Array {
    const hashes: number[] = [];
    for (let at = 0; at < children.length; at += 2 * hashBytes) {
      hashes.push(...sha256(nodePrefix, children.subarray(at, at + 2 * hashBytes)));
      this.nodeHashes++;
    }
    this.nodeCalls++;
    return new Uint8Array(hashes);
  }
}

/** MTH of RFC 6962 section 2.1, word for word. */
function merkleTreeHash(d: readonly Uint8Array[]): Uint8Array {
  if (d.length === 0) return sha256();
  if (d.length === 1) return sha256(leafPrefix, d[0]!);
  let k = 1;
  while (2 * k < d.length) k *= 2;
  return sha256(nodePrefix, merkleTreeHash(d.slice(0, k)), merkleTreeHash(d.slice(k)));
}

function leavesOf(data: Uint8Array): Uint8Array[] {
  const leaves: Uint8Array[] = [];
  for (let at = 0; at < data.length; at += leafBytes) leaves.push(data.subarray(at, at + leafBytes));
  return leaves;
}

function expectedRoot(data: Uint8Array): string {
  return merkleTreeHash(leavesOf(data)).toHex();
}

/** `data` where the tree covers these leaves. */
function cut(data: Uint8Array, leafIndex: number, leafCount: number): Uint8Array {
  return data.subarray(leafIndex * leafBytes, (leafIndex + leafCount) * leafBytes);
}

function codeOf(run: () => unknown): string | undefined {
  try {
    run();
  } catch (error) {
    if (error instanceof MemblastError) return error.code;
    throw error;
  }
  return undefined;
}

/** A tree size by leaves, with a last leaf of any length. */
const treeBytes = fc
  .tuple(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: leafBytes }))
  .map(([leaves, last]) => (leaves - 1) * leafBytes + last);

interface Write {
  readonly at: number;
  readonly length: number;
  readonly value: number;
  /** Whether the root is asked for after this write. */
  readonly root: boolean;
}

const write: fc.Arbitrary<Write> = fc.record({
  at: fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
  length: fc.integer({ min: 1, max: 5 * leafBytes }),
  value: fc.integer({ min: 0, max: 255 }),
  root: fc.boolean(),
});

describe("MerkleTree", () => {
  test("a new tree is the tree over zeros, for every number of leaves", () => {
    for (let leaves = 0; leaves <= 33; leaves++)
      for (const last of [leafBytes, 1, leafBytes - 1]) {
        const bytes = leaves === 0 ? 0 : (leaves - 1) * leafBytes + last;
        const tree = new MerkleTree(bytes, new CountingHasher());
        expect(tree.leafCount).toBe(leaves);
        expect(tree.root().toHex()).toBe(expectedRoot(new Uint8Array(bytes)));
      }
  });

  test("one leaf of one zero byte has the hash that Certificate Transparency's own tests give", () => {
    const tree = new MerkleTree(1, new CountingHasher());
    expect(tree.root().toHex()).toBe("96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7");
  });

  test("follows any writes, whenever the root is asked for", () => {
    fc.assert(
      fc.property(treeBytes, fc.array(write, { maxLength: 12 }), (bytes, writes) => {
        const data = new Uint8Array(bytes);
        const tree = new MerkleTree(bytes, new CountingHasher());
        for (const { at, length, value, root } of writes) {
          const start = Math.floor(at * bytes);
          const end = Math.min(start + length, bytes);
          data.fill(value, start, end);
          const first = Math.floor(start / leafBytes);
          const count = Math.ceil(end / leafBytes) - first;
          tree.update(first, count, cut(data, first, count));
          if (root) expect(tree.root().toHex()).toBe(expectedRoot(data));
        }
        expect(tree.root().toHex()).toBe(expectedRoot(data));
      }),
      { numRuns: 150 },
    );
  });

  test("names exactly the leaves that differ, from any leaf on", () => {
    fc.assert(
      fc.property(
        treeBytes,
        fc.array(fc.nat({ max: 39 }), { maxLength: 8 }),
        fc.nat({ max: 39 }),
        (bytes, touched, from) => {
          const tree = new MerkleTree(bytes, new CountingHasher());
          const other = new MerkleTree(bytes, new CountingHasher());
          const differing = [...new Set(touched)].filter((leaf) => leaf < tree.leafCount);
          for (const leaf of differing)
            other.update(leaf, 1, new Uint8Array(other.bytesOf(leaf, 1)).fill(leaf + 1));
          const start = Math.min(from, tree.leafCount);
          expect(tree.differingLeaves(other.leafHashes(start), start)).toEqual(
            differing.filter((leaf) => leaf >= start).sort((a, b) => a - b),
          );
          expect(other.differingLeaves(other.leafHashes())).toEqual([]);
          expect(tree.root().toHex() === other.root().toHex()).toBe(differing.length === 0);
        },
      ),
      { numRuns: 100 },
    );
  });

  test("two hashes that differ in one byte only differ", () => {
    const tree = new MerkleTree(2 * leafBytes, new CountingHasher());
    for (let byte = 0; byte < hashBytes; byte++) {
      const theirs = tree.leafHashes().slice();
      theirs[hashBytes + byte]! ^= 1;
      expect(tree.differingLeaves(theirs)).toEqual([1]);
    }
  });

  test("costs one leaf and one path after one leaf has changed", () => {
    const leaves = 1000;
    const hasher = new CountingHasher();
    const tree = new MerkleTree(leaves * leafBytes, hasher);
    const depth = Math.ceil(Math.log2(leaves));
    expect(hasher.leafHashes + hasher.nodeHashes).toBeLessThanOrEqual(2 + depth);

    tree.root();
    for (const leaf of [0, 1, 511, 512, 998, 999]) {
      hasher.leafHashes = hasher.nodeHashes = 0;
      tree.update(leaf, 1, new Uint8Array(leafBytes).fill(leaf));
      tree.root();
      expect(hasher.leafHashes).toBe(1);
      expect(hasher.nodeHashes).toBeLessThanOrEqual(depth);
      tree.root();
      expect(hasher.leafHashes + hasher.nodeHashes).toBeLessThanOrEqual(1 + depth);
    }
  });

  test("hashes a node once and a level in one call, however many leaves below changed", () => {
    const hasher = new CountingHasher();
    const tree = new MerkleTree(256 * leafBytes, hasher);
    tree.root();
    hasher.nodeHashes = hasher.nodeCalls = 0;
    for (const leaf of [7, 6, 200, 7, 6, 201, 90]) tree.update(leaf, 1, new Uint8Array(leafBytes).fill(leaf));
    tree.root();
    expect(hasher.nodeCalls).toBe(8);
    expect(hasher.nodeHashes).toBeLessThanOrEqual(3 * 8);
  });

  test("a leaf without data has no hash until it is updated", () => {
    const tree = new MerkleTree(5 * leafBytes, new CountingHasher());
    const before = tree.root();
    tree.blank(3);
    expect(tree.root()).not.toEqual(before);
    expect(tree.leafHashes(3, 1)).toEqual(new Uint8Array(32));
    expect(new MerkleTree(5 * leafBytes, new CountingHasher()).differingLeaves(tree.leafHashes())).toEqual([
      3,
    ]);
    tree.update(3, 1, new Uint8Array(leafBytes));
    expect(tree.root()).toEqual(before);
  });

  test("the root is the caller's own, the leaf hashes are a view", () => {
    const tree = new MerkleTree(3 * leafBytes, new CountingHasher());
    const before = tree.root();
    const hashes = tree.leafHashes(1, 1);
    const kept = [before.toHex(), hashes.toHex()];
    before.fill(0);
    expect(tree.root().toHex()).toBe(kept[0]!);
    tree.update(1, 1, new Uint8Array(leafBytes).fill(9));
    expect(hashes.toHex()).not.toBe(kept[1]!);
    expect(tree.leafHashes().length).toBe(3 * hashBytes);
  });

  test("reads what it is to hash a mebibyte at a time", () => {
    const bytes = 700 * leafBytes - 5;
    const data = Uint8Array.from({ length: bytes }, (_, i) => i * 31 + (i >>> 12));
    const tree = new MerkleTree(bytes, new CountingHasher());
    const asked: number[][] = [];
    const read = (leaf: number, count: number, into: Uint8Array) => {
      asked.push([leaf, count, into.length]);
      into.set(data.subarray(leaf * leafBytes, leaf * leafBytes + into.length));
    };
    tree.updateFrom(0, 3, read);
    tree.updateFrom(3, 697, read);
    tree.updateFrom(700, 0, read);
    const mebibyte = 2 ** 20;
    expect(asked).toEqual([
      [0, 3, 3 * leafBytes],
      [3, 256, mebibyte],
      [259, 256, mebibyte],
      [515, 185, 185 * leafBytes - 5],
    ]);
    expect(tree.root().toHex()).toBe(expectedRoot(data));
  });

  test("does not keep the data it is given", () => {
    const tree = new MerkleTree(leafBytes, new CountingHasher());
    const data = new Uint8Array(leafBytes).fill(1);
    tree.update(0, 1, data);
    const expected = expectedRoot(data);
    data.fill(2);
    expect(tree.root().toHex()).toBe(expected);
  });

  test("refuses leaves outside of the tree, and data of another length", () => {
    const tree = new MerkleTree(2 * leafBytes + 10, new CountingHasher());
    expect(tree.bytesOf(2, 1)).toBe(10);
    expect(tree.bytesOf(3, 0)).toBe(0);
    for (const [index, count] of [
      [-1, 1],
      [0, 4],
      [3, 1],
      [0.5, 1],
      [0, 0.5],
      [0, -1],
      [Number.NaN, 1],
    ])
      expect(codeOf(() => tree.update(index!, count!, new Uint8Array(leafBytes)))).toBe("INVALID_REGION");
    expect(codeOf(() => tree.update(2, 1, new Uint8Array(leafBytes)))).toBe("INVALID_REGION");
    expect(codeOf(() => tree.update(0, 1, new Uint8Array(leafBytes - 1)))).toBe("INVALID_REGION");
    expect(codeOf(() => tree.differingLeaves(new Uint8Array(33)))).toBe("INVALID_REGION");
    expect(codeOf(() => tree.differingLeaves(new Uint8Array(4 * hashBytes)))).toBe("INVALID_REGION");
    expect(codeOf(() => tree.differingLeaves(new Uint8Array(2 * hashBytes), 2))).toBe("INVALID_REGION");
    for (const bytes of [-1, 1.5, Number.NaN, 2 ** 53])
      expect(codeOf(() => new MerkleTree(bytes, new CountingHasher()))).toBe("INVALID_OPTION");
  });
});
