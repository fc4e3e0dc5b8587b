import { stampsOf, metaStamps, isCompanion } from "../../array/companion.ts";
import { dtypeBytes } from "../../array/dtype.ts";
import { type ArraySchema, arraySchema, type Schema } from "../../array/schema.ts";
import type { Runs } from "../../delta/runs.ts";
import { clockOf, type HybridClock, stampOf } from "../../delta/stamp.ts";
import { Cells, type CellsPlace } from "../../memory/cells.ts";
import type { Segment } from "../../memory/segment.ts";

const stampBytes = 8;

/**
 * Keeps the time of every write beside it: the state of a mesh node is, for each element, the latest write that it knows of (a
 * last-writer-wins register: Shapiro, Preguiça et al., "A comprehensive study of convergent and commutative replicated data types",
 * 2011, 3.2.1). Such states merge in any order, twice or late, with the same result.
 */
export class Stamping {
  readonly #segment: Segment;
  readonly #clock: HybridClock;
  readonly #cells: Cells;
  readonly #metaPlace: number;
  readonly #metaStamp: BigUint64Array;
  readonly #metaRecords: { readonly working: Uint8Array; readonly committed: Uint8Array };

  constructor(schema: Schema, segment: Segment, clock: HybridClock) {
    this.#segment = segment;
    this.#clock = clock;
    const arrays = schema.arrays.filter((array) => !isCompanion(array.name));
    this.#cells = new Cells(
      segment,
      arrays.map((array) => placeOf(array, arraySchema(schema, stampsOf(array.name)))),
    );
    const { metaOffset, metaBytesMax } = schema;
    this.#metaPlace = arraySchema(schema, metaStamps).offset;
    this.#metaStamp = new BigUint64Array(segment.buffer("working", this.#metaPlace, stampBytes));
    this.#metaRecords = {
      working: new Uint8Array(segment.buffer("working", metaOffset, metaBytesMax)),
      committed: new Uint8Array(segment.buffer("committed", metaOffset, metaBytesMax)),
    };
  }

  /**
   * Before the commit of a write of this node's own: each element that it changed was written now, and after what it overwrites.
   * @throws CLOCK_AHEAD
   */
  stamp(): void {
    const { now, ownLimit, tag } = this.#clock;
    this.#cells.stamp(now, ownLimit, tag);
    if (this.#isMetaChanged())
      this.#setMetaStamp(stampOf(this.#clock.after(clockOf(this.#metaStamp[0]!)), tag));
  }

  #isMetaChanged(): boolean {
    const { working, committed } = this.#metaRecords;
    return Buffer.compare(working, committed) !== 0;
  }

  #setMetaStamp(stamp: bigint): void {
    this.#metaStamp[0] = stamp;
    this.#segment.touch(this.#metaPlace, stampBytes);
  }

  /**
   * Inside a transaction: takes from `theirs`, an image of the same schema, what was written later than what is here, as far as it or its
   * stamp is in `changed`. Metadata are for {@link Stamping.mergeMeta}. Returns whether elements were left, because they claim to be
   * written in a future that is not believed.
   */
  merge(theirs: ArrayBuffer, changed: Runs): boolean {
    return this.#cells.merge(new Uint8Array(theirs), changed, this.#clock.limit);
  }

  /** What to do with the metadata `text` of `theirs`: take them, if written later than `ours` (then their stamp is taken), or not. */
  mergeMeta(theirs: ArrayBuffer, text: Uint8Array, ours: Uint8Array): "take" | "keep" | "leave" {
    const stamp = new BigUint64Array(theirs, this.#metaPlace, 1)[0]!;
    const own = this.#metaStamp[0]!;
    if (stamp === own) return Buffer.compare(text, ours) > 0 ? "take" : "keep";
    if (stamp < own) return "keep";
    if (clockOf(stamp) > this.#clock.limit) return "leave";
    this.#setMetaStamp(stamp);
    return "take";
  }
}

function placeOf(array: ArraySchema, stamps: ArraySchema): CellsPlace {
  const itemBytes = dtypeBytes(array.dtype);
  return { values: array.offset, itemBytes, stamps: stamps.offset, count: array.bytes / itemBytes };
}
