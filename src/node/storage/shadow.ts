import { metaJson } from "../../array/meta.ts";
import type { Schema } from "../../array/schema.ts";
import type { Runs } from "../../delta/runs.ts";
import { gather } from "../../memory/changes.ts";
import type { Segment } from "../../memory/segment.ts";

/** The committed state as it is passed on to others: one version, whole, until it is moved on. */
export interface Published {
  readonly schema: Schema;
  readonly incarnation: string;
  readonly version: number;
  /** Whether all commits are this process's own, so that none goes by unseen. */
  readonly isSole: boolean;
  /** What changed after `version`, and perhaps a little more; `exactly`: not more than the words of 8 bytes, where that is known. */
  changedSince(version: number, clip?: Runs | null, exactly?: boolean): { version: number; runs: Runs };
  isMetaNewer(version: number): boolean;
  /** The metadata as JSON text, a live view; empty where there is none. */
  metaJson(): Uint8Array;
  /** Copies runs of the image into `into`, one after the other. */
  gather(runs: Runs, into: Uint8Array): void;
  /** Called before the state moves on, with a way to ask which bytes may change: whoever still reads the old ones copies them now. */
  beforeCommit: ((changing: () => Runs) => void) | null;
  /** Moves on to the newest version. */
  advance(): void;
}

/**
 * A private copy of the committed image, brought forward block by block: what a process reads and publishes of a segment that others
 * write, who neither wait for it nor keep still. Costs one image of memory from its first use on, and at each step what changed.
 */
export class Shadow implements Published {
  readonly schema: Schema;
  readonly incarnation: string;
  readonly isSole = false;
  beforeCommit: Published["beforeCommit"] = null;
  readonly #segment: Segment;
  #bytes: Uint8Array<ArrayBuffer> | null = null;
  #version = 0;
  /** Why the bytes are of no version at the moment: a half of one and a half of another, until it can be read again. */
  #torn: unknown = null;
  #readers = 0;

  constructor(segment: Segment, schema: Schema) {
    this.#segment = segment;
    this.schema = schema;
    this.incarnation = segment.incarnation;
  }

  get version(): number {
    return this.#version;
  }

  get bytes(): Uint8Array<ArrayBuffer> {
    return (this.#bytes ??= new Uint8Array(this.schema.imageBytes));
  }

  /**
   * Nothing while somebody reads: a read inside a read sees the same version. Should it fail, the version stays what it was, so that
   * nothing seems to go back, and neither its bytes nor what changed can be had any more: the next time all of them are copied.
   * @throws TRUNCATED, STALE, LOCKED
   */
  advance(): void {
    if (this.#readers > 0) return;
    const { bytes } = this;
    // Which bytes will change nobody can say: others may commit more of them before we look.
    if (this.#torn === null && this.#segment.version !== this.#version)
      this.beforeCommit?.(() => Float64Array.of(0, bytes.byteLength));
    try {
      this.#version = this.#segment.refresh(bytes, this.#torn === null ? this.#version : 0);
      this.#torn = null;
    } catch (error) {
      this.#torn = error;
      throw error;
    }
  }

  #checkWhole(): void {
    if (this.#torn !== null) throw this.#torn;
  }

  /** Runs `fn` while the copy stays as it is. */
  hold<R>(fn: () => R): R {
    this.#readers++;
    try {
      return fn();
    } finally {
      this.#readers--;
    }
  }

  /** Blocks that others have changed since are among the runs: they will be again, with what they hold then. */
  changedSince(version: number, clip: Runs | null = null): { version: number; runs: Runs } {
    this.#checkWhole();
    return { version: this.#version, runs: this.#segment.changedSince(version, clip).runs };
  }

  isMetaNewer(version: number): boolean {
    const { metaOffset, metaBytesMax } = this.schema;
    return this.changedSince(version, new Float64Array([metaOffset, metaBytesMax])).runs.length > 0;
  }

  get metaRecord(): Uint8Array {
    const { metaOffset, metaBytesMax } = this.schema;
    this.#checkWhole();
    return this.bytes.subarray(metaOffset, metaOffset + metaBytesMax);
  }

  metaJson(): Uint8Array {
    return metaJson(this.metaRecord);
  }

  gather(runs: Runs, into: Uint8Array): void {
    this.#checkWhole();
    gather(runs, into, this.bytes, this.bytes.byteLength);
  }
}
