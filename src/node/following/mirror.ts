import type { Schema } from "../../array/schema.ts";
import type { Mapping } from "../../delta/mapping.ts";
import { Pieces } from "../../delta/pieces.ts";
import { normalise, noRuns, type Runs, totalBytes, union } from "../../delta/runs.ts";
import { type LeafHasher, MerkleTree } from "../../integrity/merkle.ts";
import { leafBytes } from "../../protocol/limits.ts";

/** What a mirror looks at. */
export interface MirroredMemory {
  readonly schema: Schema;
  readonly version: number;
  /** What changed after `version`, as far as it is in `clip`: too much, but never too little. */
  changedSince(version: number, clip?: Runs | null): { version: number; runs: Runs };
  readonly segment: {
    /** Copies the runs of an image, one after the other, into `into`. */
    gather(runs: Runs, into: Uint8Array, image?: "working" | "committed"): void;
  };
}

/**
 * A follower's Merkle tree over what it follows, in the order of the source, over the bytes as they really lie in its own memory:
 * whatever changed them, the tree knows from the version table. A leaf with a byte whose places here are not all alike is none of the
 * source's, so it has no hash.
 */
export class Mirror {
  readonly #storage: MirroredMemory;
  readonly #mapping: Mapping;
  readonly #tree: MerkleTree;
  /** Leaf ranges [first, count] to hash again. */
  #stale: Runs;
  #version: number;
  /** The local places of the subscribed space by local offset: triples local offset, position, length. */
  readonly #places: Float64Array;

  constructor(storage: MirroredMemory, mapping: Mapping, hasher: LeafHasher) {
    this.#storage = storage;
    this.#mapping = mapping;
    this.#tree = new MerkleTree(mapping.space.size, hasher);
    this.#stale = Float64Array.of(0, this.#tree.leafCount);
    this.#version = storage.version;
    this.#places = sortedTriples(mapping);
  }

  /**
   * The root that the transaction in progress would commit, `received` being the source bytes it wrote. Follow it by
   * {@link Mirror.accept} after the commit; after a rollback the same leaves are hashed again.
   */
  rootWith(received: Runs): Uint8Array {
    const leaves = this.#mapping.space.leaves(received, leafBytes);
    this.#refresh(union(this.#localLeaves(), leaves));
    // All others are hashed as they are committed, also after a rollback: what disagrees costs no more for what did before it.
    this.#stale = leaves;
    this.#version = this.#storage.version;
    return this.#tree.root();
  }

  accept(): void {
    this.#stale = noRuns;
    this.#version = this.#storage.version;
  }

  /** 32 bytes a leaf, of the committed bytes; outside of a transaction. */
  leafHashes(): Uint8Array {
    this.#refresh(this.#localLeaves());
    this.accept();
    return this.#tree.leafHashes().slice();
  }

  /** Leaves over blocks that changed since the last look, by whoever. */
  #localLeaves(): Runs {
    const { runs } = this.#storage.changedSince(this.#version, this.#mapping.localRuns);
    const pairs: number[] = [];
    for (let i = 0; i < runs.length; i += 2)
      this.#eachPosition(runs[i]!, runs[i + 1]!, (position, length) => {
        const first = Math.floor(position / leafBytes);
        pairs.push(first, Math.floor((position + length - 1) / leafBytes) + 1 - first);
      });
    return normalise(pairs);
  }

  #eachPosition(offset: number, bytes: number, visit: (position: number, length: number) => void): void {
    const places = this.#places;
    let low = 0;
    let high = places.length / 3;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (places[3 * middle]! + places[3 * middle + 2]! <= offset) low = middle + 1;
      else high = middle;
    }
    for (let k = 3 * low; k < places.length && places[k]! < offset + bytes; k += 3) {
      const from = Math.max(offset, places[k]!);
      const to = Math.min(offset + bytes, places[k]! + places[k + 2]!);
      visit(places[k + 1]! + from - places[k]!, to - from);
    }
  }

  #refresh(leaves: Runs): void {
    this.#stale = union(this.#stale, leaves);
    const divided: number[] = [];
    for (let i = 0; i < this.#stale.length; i += 2)
      this.#tree.updateFrom(this.#stale[i]!, this.#stale[i + 1]!, (leaf, _, into) => {
        this.#storage.segment.gather(runsOf(this.#piecesAt(leaf, into, 0)), into, "working");
        for (let layer = 1; layer < this.#mapping.layerCount; layer++)
          this.#compare(leaf, into, layer, divided);
      });
    for (const leaf of divided) this.#tree.blank(leaf);
  }

  /** Where the bytes of `leaf` and the next ones lie, in the order of the source. */
  #piecesAt(leaf: number, { byteLength }: Uint8Array, layer: number): Pieces {
    const pieces = new Pieces();
    this.#mapping.gather(leaf * leafBytes, leaf * leafBytes + byteLength, pieces, 0, layer);
    return pieces;
  }

  /** Adds the leaves with bytes whose other place is not like the first: whichever is wrong, a repair writes both. */
  #compare(leaf: number, first: Uint8Array, layer: number, divided: number[]): void {
    const pieces = this.#piecesAt(leaf, first, layer);
    const runs = runsOf(pieces);
    const others = new Uint8Array(totalBytes(runs));
    this.#storage.segment.gather(runs, others, "working");
    let at = 0;
    for (let k = 0; k < pieces.count; k++) {
      const staged = pieces.data[3 * k + 1]!;
      for (let i = 0; i < pieces.data[3 * k + 2]!; i++)
        if (others[at++] !== first[staged + i]) divided.push(leaf + Math.floor((staged + i) / leafBytes));
    }
  }
}

/** The local runs of pieces, in their order. */
function runsOf({ data, count }: Pieces): Runs {
  const runs = new Float64Array(2 * count);
  for (let k = 0; k < count; k++) {
    runs[2 * k] = data[3 * k]!;
    runs[2 * k + 1] = data[3 * k + 2]!;
  }
  return runs;
}

function sortedTriples(mapping: Mapping): Float64Array {
  const pieces = new Pieces();
  for (let layer = 0; layer < mapping.layerCount; layer++)
    mapping.gather(0, mapping.space.size, pieces, 0, layer);
  const triples = pieces.data;
  const order = Array.from({ length: pieces.count }, (_, k) => k).sort(
    (a, b) => triples[3 * a]! - triples[3 * b]!,
  );
  const sorted = new Float64Array(triples.length);
  for (const [to, from] of order.entries()) sorted.set(triples.subarray(3 * from, 3 * from + 3), 3 * to);
  return sorted;
}
