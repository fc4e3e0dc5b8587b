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

/** What a merge did. */
export interface Merged {
  /** The latest clock of the elements taken; null where there are none. */
  readonly latest: number | null;
  /** Whether some were left because they claim to be written after the limit. */
  readonly hasLeft: boolean;
}

/** Arrays whose elements have the times at which they were written beside them. Every call belongs inside a transaction. */
export class Cells {
  readonly #segment: Segment;
  /** For each array its offset, the bytes of an element, the offset of its stamps, and how many there are. */
  readonly #places: Float64Array;
  readonly #count: number;
  readonly #left = new Float64Array(1);

  constructor(segment: Segment, places: readonly CellsPlace[]) {
    this.#segment = segment;
    this.#count = places.length;
    this.#places = Float64Array.from(
      places.flatMap(({ values, itemBytes, stamps, count }) => [values, itemBytes, stamps, count]),
    );
  }

  /**
   * The latest clock, not after `limit`, at which those elements had been written that the transaction has changed; 0 where it is
   * after it, null where none was changed.
   */
  latestChanged(limit: number): number | null {
    const { handle } = this.#segment.addresses;
    const result = library.cellsLatest(handle, this.#places, this.#count, limit);
    return clockOf(check(result, "look at what was written"));
  }

  /** Stamps the elements that the transaction has changed. */
  stamp(clock: number, tag: number): void {
    const { handle } = this.#segment.addresses;
    check(library.cellsStamp(handle, this.#places, this.#count, clock, tag), "stamp what was written");
  }

  /**
   * Takes from `theirs`, an image of the same layout, the elements that were written later than ours, but not after `limit`, as far as
   * they or their stamps have a byte in `runs` (pairs of image offset and length). Of equal stamps the greater value counts, as an
   * unsigned number.
   */
  merge(theirs: Uint8Array, runs: Float64Array, limit: number): Merged {
    if (runs.length === 0) return { latest: null, hasLeft: false };
    const { handle } = this.#segment.addresses;
    const [places, count] = [this.#places, this.#count];
    const { byteLength } = theirs;
    const result = library.cellsMerge(
      handle,
      places,
      count,
      theirs,
      byteLength,
      runs,
      runs.length / 2,
      limit,
      this.#left,
    );
    return {
      latest: clockOf(check(result, "merge what was written elsewhere")),
      hasLeft: this.#left[0]! > 0,
    };
  }
}

function clockOf(result: number): number | null {
  return result === 0 ? null : result - 1;
}
