import { check } from "./failure.ts";
import { library } from "./library.ts";
import type { Segment } from "./segment.ts";

/** Where an array and its stamps lie in the image, in bytes; a stamp is a u64. */
export interface CellsPlace {
  readonly values: number;
  /** Bytes of an element: 1, 2, 4 or 8. */
  readonly itemBytes: number;
  readonly stamps: number;
  readonly count: number;
}

/** Arrays whose elements have the times at which they were written beside them. Every call belongs inside a transaction. */
export class Cells {
  readonly #segment: Segment;
  /** For each array its offset, the bytes of an element, the offset of its stamps, and how many there are. */
  readonly #places: Float64Array;
  readonly #count: number;

  constructor(segment: Segment, places: readonly CellsPlace[]) {
    this.#segment = segment;
    this.#count = places.length;
    this.#places = Float64Array.from(
      places.flatMap(({ values, itemBytes, stamps, count }) => [values, itemBytes, stamps, count]),
    );
  }

  /**
   * Stamps the elements that the transaction has changed: with the clock `now`, or with the one after that of what they overwrite, where
   * that is no earlier and not after `limit`.
   */
  stamp(now: number, limit: number, tag: number): void {
    const { handle } = this.#segment.addresses;
    check(library.cellsStamp(handle, this.#places, this.#count, now, limit, tag), "stamp what was written");
  }

  /**
   * Takes from `theirs`, an image of the same layout, the elements that were written later than ours, but not after `limit`, as far as
   * they or their stamps have a byte in `runs` (pairs of image offset and length). Of equal stamps the greater value counts, as an
   * unsigned number. Returns whether elements were left because they claim to be written after the limit.
   */
  merge(theirs: Uint8Array, runs: Float64Array, limit: number): boolean {
    if (runs.length === 0) return false;
    const { handle } = this.#segment.addresses;
    const [places, count] = [this.#places, this.#count];
    const { byteLength } = theirs;
    const left = library.cellsMerge(handle, places, count, theirs, byteLength, runs, runs.length / 2, limit);
    return check(left, "merge what was written elsewhere") > 0;
  }
}
