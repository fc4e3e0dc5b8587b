import { intersects, type Runs, totalBytes } from "../delta/runs.ts";
import { crc32c } from "../memory/digest.ts";
import { type EncodedPart, encodeDeltaPart } from "../protocol/encode.ts";
import { type DeltaHead, headBytesOf } from "../protocol/part.ts";
import { splitRuns } from "../protocol/split.ts";
import type { Published } from "./shadow.ts";

/**
 * Payload of a part. Half of what one read of a socket mostly brings, so that a frame seldom has to be pieced together from two, for
 * which 256 KiB ones need as much time again as for their checksum and copy.
 */
const partBytes = 65_536;

/** Parts that stay for the next follower in a row; one that is further behind has them gathered again. */
const recentParts = 16;

/** Estimates of what an encoding and each of its parts take besides what they hold. */
const encodingBytes = 512;
const partBytesOf = 256;

/** One follower's way through an encoding. */
export interface Reading {
  readonly link: Reader;
  readonly subscription: number;
  readonly encoding: Encoding;
  /** The part to be sent next. */
  next: number;
  /** When it took the last one, or began; null while it waits for others before it. */
  movedAt: number | null;
}

/** Whoever reads encodings. */
export interface Reader {
  /** More is kept for those who are behind than may be, and this one has not moved for the longest time: it is to let go of all. */
  tooSlow(): void;
}

/**
 * A delta for any number of followers, gathered part by part as they take it: while nothing is committed the image itself is the
 * copy. {@link Encoding.freeze} gathers, just before a commit, the parts that somebody still needs and the commit may change; so every
 * part is of version `to`, and a delta that is on its way costs memory only where the writer overtakes it.
 */
export class Encoding {
  readonly from: number;
  readonly to: number;
  readonly readings = new Set<Reading>();
  /** Bytes that are kept for them, because they are not in the image any more. */
  heldBytes = 0;
  readonly #storage: Published;
  readonly #head: DeltaHead;
  readonly #pieces: readonly Float64Array[];
  readonly #parts = new Map<number, EncodedPart>();
  readonly #frozen = new Set<number>();

  constructor(storage: Published, head: DeltaHead, runs: Runs) {
    this.from = head.from;
    this.to = head.to;
    this.#storage = storage;
    this.#head = head;
    this.#pieces = [...splitRuns(runs, headBytesOf(head.meta, head.root), partBytes)];
  }

  /** What it may take once it is frozen: its bytes, what describes them, and what every object costs. */
  get memoryBytes(): number {
    const { totalBytes, meta } = this.#head;
    let bytes = encodingBytes + totalBytes + (meta?.byteLength ?? 0);
    for (const piece of this.#pieces) bytes += partBytesOf + piece.byteLength * 2; // as numbers, and as they travel
    return bytes;
  }

  get partCount(): number {
    return this.#pieces.length;
  }

  /** Whether somebody is in the middle of it, and not only has it waiting. */
  get isTaken(): boolean {
    for (const { movedAt } of this.readings) if (movedAt !== null) return true;
    return false;
  }

  part(index: number): EncodedPart {
    const known = this.#parts.get(index);
    if (known) return known;
    const part = this.#gather(index);
    this.#parts.set(index, part);
    if (!this.#frozen.has(index - recentParts)) this.#parts.delete(index - recentParts);
    return part;
  }

  /** These bytes of the image are about to change; null: any may. */
  freeze(changing: Runs | null): void {
    let first = this.partCount;
    for (const { next } of this.readings) first = Math.min(first, next);
    for (let index = first; index < this.partCount; index++) {
      if (this.#frozen.has(index)) continue;
      if (changing && !intersects(this.#pieces[index]! as Runs, changing)) continue;
      this.part(index);
      this.#frozen.add(index);
      this.heldBytes += totalBytes(this.#pieces[index]! as Runs);
    }
  }

  #gather(index: number): EncodedPart {
    const runs = this.#pieces[index]! as Runs;
    const data = new Uint8Array(totalBytes(runs));
    this.#storage.gather(runs, data);
    return encodeDeltaPart(crc32c, {
      head: index === 0 ? this.#head : null,
      last: index === this.partCount - 1,
      runs,
      data: data.byteLength ? [data] : [],
    });
  }
}
