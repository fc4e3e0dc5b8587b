import { check } from "./failure.ts";
import { library } from "./library.ts";

/** Byte runs of an image, pairs (offset, bytes), that changed after some version, and the version that they lead to. */
export interface Changed {
  readonly version: number;
  readonly runs: Float64Array<ArrayBuffer>;
}

/** Pairs for which there is room in any case; more is given back after answers that need little. */
const pairsKept = 65_536;

/** Asks the version table, or what the last commits noted; keeps the room that the largest answer so far needed. */
export class Changes {
  #runs = new Float64Array(2 * 512);
  readonly #info = new Float64Array(1);

  /**
   * A negative number where the library refuses; `clip` has sorted, disjoint pairs, null stands for everything. `exactly`: words of 8
   * bytes instead of blocks, where they are known (see exact.c).
   */
  since(handle: number, version: number, clip: Float64Array | null, exactly: boolean): Changed | number {
    const ask = exactly ? library.changedExactly : library.changedSince;
    const clips = clip ? clip.length / 2 : 0;
    for (;;) {
      const capacity = this.#runs.length / 2;
      const count = ask(handle, version, clip, clips, this.#runs, capacity, this.#info);
      if (count < 0) return count;
      if (count <= capacity) {
        const runs = this.#runs.slice(0, 2 * count);
        if (capacity > pairsKept && count < capacity / 64) this.#runs = new Float64Array(2 * pairsKept);
        return { version: this.#info[0]!, runs };
      }
      this.#runs = new Float64Array(4 * count);
    }
  }
}

/** `into` = the bytes of `runs` (offset, bytes) of the memory at `from`, one after the other. INVALID_REGION */
export function gather(
  runs: Float64Array,
  into: Uint8Array,
  from: number | Uint8Array,
  fromBytes: number,
): void {
  if (runs.length === 0) return;
  const count = library.gather(into, into.byteLength, from, fromBytes, runs, runs.length / 2);
  check(count, "gather bytes of a segment");
}
