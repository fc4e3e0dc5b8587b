import { fail } from "../errors.ts";

/** Bytes of a leaf; the last leaf of a tree may be shorter. */
export const leafBytes = 4096;

/** Bytes of a hash. */
export const hashBytes = 32;

/** SHA-256 as RFC 6962 section 2.1 uses it, passed in because each platform has its own fastest one. */
export interface LeafHasher {
  /** SHA-256(0x00 || leaf) of every `leafBytes` of `data`, the last leaf possibly short: 32 bytes each, in order. */
  leaves(data: Uint8Array, leafBytes: number): Uint8Array;
  /** SHA-256(0x01 || left || right) of every 64 bytes of `children`: 32 bytes each, in order. */
  nodes(children: Uint8Array): Uint8Array;
}

const pairBytes = 2 * hashBytes;

/** Leaves that {@link MerkleTree.updateFrom} holds in memory at a time: 1 MiB, however much is hashed. */
const leavesAtOnce = 256;

/** SHA-256 of nothing: RFC 6962's root of an empty list. */
const emptyRoot = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/**
 * The Merkle tree of RFC 6962 over `bytes` bytes, kept up to date leaf by leaf. A new tree is the tree over zeros, as new memory
 * is; making it costs one hash per level, not one per leaf.
 *
 * Level 0 holds the leaves, each further level half as many hashes, up to the root; an odd last node moves up as it is, which is
 * the shape that the RFC's recursive definition gives. {@link update} hashes leaves and only notes what lies above them;
 * {@link root} then hashes each node concerned once, a level at a time.
 */
export class MerkleTree {
  /** Bytes of data that the tree is over. */
  readonly bytes: number;
  readonly leafCount: number;
  readonly #hasher: LeafHasher;
  /** Hashes of each level, back to back, leaves first. */
  readonly #levels: Uint8Array[] = [];
  /** Level-1 nodes whose leaves have changed since the last root: a flag each, and the list of those flagged. */
  readonly #staleFlags: Uint8Array;
  #stale: number[] = [];

  constructor(bytes: number, hasher: LeafHasher) {
    if (!Number.isSafeInteger(bytes) || bytes < 0)
      fail("INVALID_OPTION", "The size of a Merkle tree is a whole number of bytes, 0 or more", { bytes });
    this.bytes = bytes;
    this.leafCount = Math.ceil(bytes / leafBytes);
    this.#hasher = hasher;
    this.#staleFlags = new Uint8Array(Math.ceil(this.leafCount / 2));
    this.#fillWithZeros();
  }

  /** Bytes that leaves `leafIndex .. leafIndex + leafCount` cover: what {@link update} takes. */
  bytesOf(leafIndex: number, leafCount: number): number {
    this.#checkLeaves(leafIndex, leafCount);
    const end = Math.min((leafIndex + leafCount) * leafBytes, this.bytes);
    return end - Math.min(leafIndex * leafBytes, this.bytes);
  }

  /** Hashes `leafCount` leaves anew from `data`, which starts at the first of them and ends with the last. Keeps no reference to `data`. */
  update(leafIndex: number, leafCount: number, data: Uint8Array): void {
    const expected = this.bytesOf(leafIndex, leafCount);
    if (data.length !== expected)
      fail("INVALID_REGION", `These leaves take ${expected} bytes, not ${data.length}`, {
        leafIndex,
        leafCount,
      });
    if (leafCount === 0) return;
    this.#levels[0]!.set(this.#hasher.leaves(data, leafBytes), leafIndex * hashBytes);
    this.#markStale(leafIndex, leafIndex + leafCount);
  }

  /**
   * The same from wherever the data is: `read` fills `into`, 1 MiB at most, with the bytes of `leafCount` leaves from `leafIndex` on.
   * `into` is overwritten by the next call.
   */
  updateFrom(
    leafIndex: number,
    leafCount: number,
    read: (leafIndex: number, leafCount: number, into: Uint8Array) => void,
  ): void {
    const room = new Uint8Array(this.bytesOf(leafIndex, Math.min(leafCount, leavesAtOnce)));
    const end = leafIndex + leafCount;
    for (let first = leafIndex; first < end; first += leavesAtOnce) {
      const count = Math.min(leavesAtOnce, end - first);
      const data = room.subarray(0, this.bytesOf(first, count));
      read(first, count, data);
      this.update(first, count, data);
    }
  }

  /** A leaf that no data is known of: its hash is 32 zeros, which no data has. Until it is updated. */
  blank(leafIndex: number): void {
    this.#checkLeaves(leafIndex, 1);
    this.#levels[0]!.fill(0, leafIndex * hashBytes, (leafIndex + 1) * hashBytes);
    this.#markStale(leafIndex, leafIndex + 1);
  }

  /** The root over everything updated so far: 32 bytes of the caller's own. */
  root(): Uint8Array {
    if (this.leafCount === 0) return Uint8Array.fromHex(emptyRoot);
    this.#refresh();
    return this.#levels.at(-1)!.slice();
  }

  /** The leaf hashes, 32 bytes each: a view of the tree's own memory, overwritten by the next update of those leaves. */
  leafHashes(leafIndex = 0, leafCount: number = this.leafCount - leafIndex): Uint8Array {
    this.#checkLeaves(leafIndex, leafCount);
    return (this.#levels[0] ?? new Uint8Array()).subarray(
      leafIndex * hashBytes,
      (leafIndex + leafCount) * hashBytes,
    );
  }

  /**
   * The leaves that differ from another tree's leaf hashes, in ascending order. `theirs` starts at leaf `leafIndex` and must lie within
   * the tree; where it came from a peer, its length is to be checked first.
   */
  differingLeaves(theirs: Uint8Array, leafIndex = 0): number[] {
    const ours = this.leafHashes(leafIndex, theirs.length / hashBytes);
    const differing: number[] = [];
    for (let at = 0; at < theirs.length; at += hashBytes)
      if (!equalHash(ours, theirs, at)) differing.push(leafIndex + at / hashBytes);
    return differing;
  }

  #checkLeaves(leafIndex: number, leafCount: number): void {
    const whole = Number.isSafeInteger(leafIndex) && Number.isSafeInteger(leafCount);
    if (!whole || leafIndex < 0 || leafCount < 0 || leafIndex + leafCount > this.leafCount)
      fail("INVALID_REGION", `The tree has ${this.leafCount} leaves; ask for whole ones among them`, {
        leafIndex,
        leafCount,
      });
  }

  /** Every node of a tree over zeros equals its neighbour on the level, except on the right edge, where the last leaf may be short. */
  #fillWithZeros(): void {
    if (this.leafCount === 0) return;
    const zeros = new Uint8Array(Math.min(leafBytes, this.bytes));
    let hash = this.#hasher.leaves(zeros, leafBytes);
    for (let count = this.leafCount; ; count = Math.ceil(count / 2)) {
      this.#levels.push(repeated(hash, count));
      if (count === 1) break;
      hash = this.#hasher.nodes(repeated(hash, 2));
    }
    const last = this.leafCount - 1;
    const lastBytes = this.bytesOf(last, 1);
    this.update(last, 1, zeros.subarray(0, lastBytes));
  }

  #markStale(firstLeaf: number, endLeaf: number): void {
    const end = (endLeaf + 1) >>> 1;
    for (let node = firstLeaf >>> 1; node < end; node++) {
      if (this.#staleFlags[node]) continue;
      this.#staleFlags[node] = 1;
      this.#stale.push(node);
    }
  }

  #refresh(): void {
    if (this.#stale.length === 0) return;
    for (const node of this.#stale) this.#staleFlags[node] = 0;
    let nodes = this.#stale.sort((a, b) => a - b);
    this.#stale = [];
    for (let level = 1; level < this.#levels.length; level++) {
      this.#refreshLevel(level, nodes);
      nodes = parentsOf(nodes);
    }
  }

  /** Hashes `nodes` (ascending) of a level anew from the level below, in one call of the hasher. */
  #refreshLevel(level: number, nodes: readonly number[]): void {
    const below = this.#levels[level - 1]!;
    const here = this.#levels[level]!;
    let count = nodes.length;
    const last = nodes[count - 1]!;
    if ((last + 1) * pairBytes > below.length) {
      here.set(below.subarray(last * pairBytes), last * hashBytes);
      count--;
    }
    if (count === 0) return;

    const children = gathered(below, nodes, count);
    const hashes = this.#hasher.nodes(children);
    forEachRange(nodes, count, (index, first, length) =>
      here.set(hashes.subarray(index * hashBytes, (index + length) * hashBytes), first * hashBytes),
    );
  }
}

/** The pairs of children below `count` nodes, back to back; the level itself where they already are. */
function gathered(below: Uint8Array, nodes: readonly number[], count: number): Uint8Array {
  const start = nodes[0]!;
  if (nodes[count - 1]! - start === count - 1)
    return below.subarray(start * pairBytes, (start + count) * pairBytes);
  const children = new Uint8Array(count * pairBytes);
  forEachRange(nodes, count, (index, first, length) =>
    children.set(below.subarray(first * pairBytes, (first + length) * pairBytes), index * pairBytes),
  );
  return children;
}

/** Calls `visit` with each stretch of consecutive numbers: where it starts in the list, its first number, how many. */
function forEachRange(
  ascending: readonly number[],
  count: number,
  visit: (index: number, first: number, length: number) => void,
): void {
  for (let index = 0; index < count;) {
    const first = ascending[index]!;
    let length = 1;
    while (index + length < count && ascending[index + length] === first + length) length++;
    visit(index, first, length);
    index += length;
  }
}

function parentsOf(nodes: readonly number[]): number[] {
  const parents: number[] = [];
  for (const node of nodes) if (parents.at(-1) !== node >>> 1) parents.push(node >>> 1);
  return parents;
}

function repeated(hash: Uint8Array, count: number): Uint8Array {
  const all = new Uint8Array(count * hashBytes);
  all.set(hash);
  for (let filled = hashBytes; filled < all.length; filled *= 2) all.copyWithin(filled, 0, filled);
  return all;
}

function equalHash(a: Uint8Array, b: Uint8Array, at: number): boolean {
  for (let i = at; i < at + hashBytes; i++) if (a[i] !== b[i]) return false;
  return true;
}
