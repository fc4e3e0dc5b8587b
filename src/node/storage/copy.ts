import { Lease } from "../../array/lease.ts";
import { decodeMeta } from "../../array/meta.ts";
import { NdArray } from "../../array/ndarray.ts";
import type { ArraySchema } from "../../array/schema.ts";
import { fail } from "../../errors.ts";
import { Held } from "../../memory/held.ts";
import type { Storage } from "./storage.ts";

/** An array in a copy. */
interface Part {
  readonly schema: ArraySchema;
  /** Bytes from the start of the copy's memory. */
  readonly offset: number;
  readonly array: NdArray;
}

const align = (bytes: number) => Math.ceil(bytes / 64) * 64;

/**
 * Some arrays and the metadata, all of one version, in memory of their own. {@link Copy.refresh} brings them to the newest version and
 * copies only the blocks that changed in between, so following a large array costs what its commits do. The copy outlives its node.
 */
export class Copy implements Disposable {
  /** @internal What threads of other libraries may hold. */
  readonly held: Held;
  readonly #living: () => Storage;
  readonly #parts: ReadonlyMap<string | null, Part>;
  readonly #pieces: Float64Array;
  readonly #metaRecord: Uint8Array;
  #version = 0;
  #isFilled = false;

  /** Made by {@link Node.copy}. */
  constructor(living: () => Storage, names: readonly (string | null)[]) {
    this.#living = living;
    const { schema } = living();
    const arrays = schema.arrays.filter(({ name }) => names.includes(name));
    for (const name of names) living().live(name); // INVALID_NAME
    const offsets = arrays.map((_, i) =>
      arrays.slice(0, i).reduce((sum, { bytes }) => sum + align(bytes), 0),
    );
    const metaOffset = arrays.reduce((sum, { bytes }) => sum + align(bytes), 0);
    this.held = new Held(metaOffset + align(schema.metaBytesMax));
    this.#metaRecord = new Uint8Array(this.held.buffer(metaOffset, schema.metaBytesMax));
    this.#pieces = Float64Array.from([
      ...arrays.flatMap(({ offset, bytes }, i) => [offset, offsets[i]!, bytes]),
      ...[schema.metaOffset, metaOffset, schema.metaBytesMax],
    ]);
    const lease = Lease.readOnly();
    this.#parts = new Map(
      arrays.map((array, i) => {
        const buffer = this.held.buffer(offsets[i]!, array.bytes);
        const part = {
          schema: array,
          offset: offsets[i]!,
          array: NdArray.over(array, buffer, lease, array.offset),
        };
        return [array.name, part];
      }),
    );
  }

  /** The version that all of it is of. */
  get version(): number {
    return this.#version;
  }

  /** Whether nothing was committed since. */
  get isNewest(): boolean {
    return this.#isFilled && this.#living().version === this.#version;
  }

  /** The metadata of this version. */
  get meta(): unknown {
    return decodeMeta(this.#metaRecord);
  }

  /** Read-only, and changed by {@link Copy.refresh}. @throws INVALID_NAME */
  array(name: string | null = null): NdArray {
    return this.#part(name).array;
  }

  /** @internal */
  offsetOf(name: string | null): number {
    return this.#part(name).offset;
  }

  #part(name: string | null): Part {
    return (
      this.#parts.get(name) ??
      fail("INVALID_NAME", `This copy has no ${name === null ? "main array" : `array "${name}"`}`, { name })
    );
  }

  /** Brings it to the newest version; returns whether that is another one. @throws CLOSED, TRUNCATED, LOCKED */
  refresh(): boolean {
    const { segment } = this.#living();
    const before = this.#isFilled ? this.#version : 0;
    this.#isFilled = false;
    const version = segment.refreshPieces(this.held, this.#pieces, before);
    const isOther = version !== this.#version;
    this.#version = version;
    this.#isFilled = true;
    return isOther;
  }

  /**
   * Elements of an array that may have changed after `version`, as sorted pairs of first element and count: whole blocks, so some of
   * them did not.
   */
  changedSince(version: number, name: string | null = null): Float64Array {
    const { schema, array } = this.#part(name);
    const width = schema.bytes / array.size;
    const { runs } = this.#living().changedSince(version, Float64Array.of(schema.offset, schema.bytes));
    return runs.map((value, i) => (i % 2 === 0 ? (value - schema.offset) / width : value / width));
  }

  /** Gives the memory back; the arrays are empty from then on. Twice is nothing. */
  close(): void {
    this.held.release();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
