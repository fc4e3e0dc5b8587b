import { parseMeta } from "../../array/meta.ts";
import type { Schema } from "../../array/schema.ts";
import { Pieces } from "../../delta/pieces.ts";
import { intersect, noRuns, normalise, type Runs } from "../../delta/runs.ts";
import { fail } from "../../errors.ts";
import type { ReplicaMemory } from "./replica.ts";

/** A larger copy of what was there before is given back after each transaction. */
const beforeBytesKept = 8 * 1024 * 1024;

/**
 * A replica's memory where there is no segment: one buffer, which a transaction changes in place and can put back as it was.
 * Nobody looks while one is open, because a delta is applied in one go.
 */
export class Image implements ReplicaMemory {
  readonly schema: Schema;
  readonly buffer: ArrayBuffer;
  readonly #bytes: Uint8Array;
  #version = 0;
  /** What the last commit changed. */
  #changed: Runs = noRuns;
  /** Where the transaction has written, and what was there: triples offset, position in `#before`, length. */
  readonly #written = new Pieces();
  #before = new Uint8Array(4096);
  #beforeBytes = 0;
  #meta: Uint8Array = new Uint8Array(0);
  #newMeta: Uint8Array | null = null;

  /** @throws NO_SPACE */
  constructor(schema: Schema) {
    this.schema = schema;
    this.buffer = bufferOf(schema.imageBytes);
    this.#bytes = new Uint8Array(this.buffer);
  }

  /** Commits so far. */
  get version(): number {
    return this.#version;
  }

  get meta(): unknown {
    return parseMeta(this.#meta);
  }

  metaJson(): Uint8Array {
    return this.#meta;
  }

  /** The same inside a transaction: as they would be committed. */
  workingMetaJson(): Uint8Array {
    return this.#newMeta ?? this.#meta;
  }

  get segment(): this {
    return this;
  }

  begin(): void {
    this.#written.clear();
    this.#beforeBytes = 0;
    this.#newMeta = null;
  }

  #forgetBefore(): void {
    if (this.#before.byteLength > beforeBytesKept) this.#before = new Uint8Array(4096);
  }

  /** FORMAT where it is no JSON. */
  setMetaJson(text: Uint8Array): void {
    parseMeta(text);
    this.#newMeta = text.slice();
  }

  scatter(data: Uint8Array, triples: Float64Array): void {
    const bytes = this.#bytes;
    for (let k = 0; k < triples.length; k += 3) {
      const offset = triples[k]!;
      const from = triples[k + 1]!;
      const length = triples[k + 2]!;
      this.#keep(offset, length);
      bytes.set(data.subarray(from, from + length), offset);
    }
  }

  gather(runs: Runs, into: Uint8Array): void {
    let at = 0;
    for (let i = 0; i < runs.length; i += 2) {
      into.set(this.#bytes.subarray(runs[i]!, runs[i]! + runs[i + 1]!), at);
      at += runs[i + 1]!;
    }
  }

  commit(): number {
    this.#forgetBefore();
    const { count } = this.#written;
    const hasMeta = this.#newMeta !== null;
    this.#meta = this.#newMeta ?? this.#meta;
    this.#newMeta = null;
    if (count === 0 && !hasMeta) return 0;
    this.#changed = this.writtenRuns();
    this.#version++;
    return Math.max(count, 1);
  }

  /** What the transaction has written so far. */
  writtenRuns(): Runs {
    const { data, count } = this.#written;
    const pairs = new Float64Array(2 * count);
    for (let k = 0; k < count; k++) {
      pairs[2 * k] = data[3 * k]!;
      pairs[2 * k + 1] = data[3 * k + 2]!;
    }
    return normalise(pairs);
  }

  rollback(): void {
    const { data, count } = this.#written;
    for (let k = count - 1; k >= 0; k--) {
      const [offset, from, length] = data.subarray(3 * k, 3 * k + 3) as unknown as [number, number, number];
      if (this.#version === 0) this.#bytes.fill(0, offset, offset + length);
      else this.#bytes.set(this.#before.subarray(from, from + length), offset);
    }
    this.#forgetBefore();
    this.#newMeta = null;
  }

  changedSince(version: number, clip: Runs | null = null): { version: number; runs: Runs } {
    const changed = this.#changedSince(version);
    return { version: this.#version, runs: clip ? intersect(changed, clip) : changed };
  }

  /** Only the last commit is remembered: nobody here asks for more. */
  #changedSince(version: number): Runs {
    if (version >= this.#version) return noRuns;
    if (version === this.#version - 1) return this.#changed;
    return Float64Array.of(0, this.#bytes.byteLength);
  }

  #keep(offset: number, length: number): void {
    if (this.#version === 0) return this.#written.add(offset, 0, length); // all there was are zeros
    const end = this.#beforeBytes + length;
    if (end > this.#before.byteLength) {
      const grown = new Uint8Array(Math.max(end, 2 * this.#before.byteLength));
      grown.set(this.#before.subarray(0, this.#beforeBytes));
      this.#before = grown;
    }
    this.#before.set(this.#bytes.subarray(offset, offset + length), this.#beforeBytes);
    this.#written.add(offset, this.#beforeBytes, length);
    this.#beforeBytes = end;
  }
}

function bufferOf(bytes: number): ArrayBuffer {
  try {
    return new ArrayBuffer(bytes);
  } catch (error) {
    return fail("NO_SPACE", `There is no memory for arrays of ${bytes} bytes: follow less`, { bytes }, error);
  }
}
