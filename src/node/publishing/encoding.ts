import { intersects, type Runs, totalBytes } from "../../delta/runs.ts";
import { crc32c } from "../../memory/digest.ts";
import { type EncodedPart, encodeDeltaPart } from "../../protocol/encode.ts";
import { type DeltaHead, headBytesOf } from "../../protocol/part.ts";
import { splitRuns } from "../../protocol/split.ts";
import type { Published } from "../storage/shadow.ts";

/**
 * Payload of a part. Half of what one read of a socket mostly brings, so that a frame seldom has to be pieced together from two, for
 * which 256 KiB ones need as much time again as for their checksum and copy.
 */
const partBytes = 65_536;

/** Parts that stay for the next follower in a row; one that is further behind has them gathered again. */
const recentParts = 16;

/** What an encoding and each of its parts take besides what they hold, as measured, and a little more. */
const encodingBytes = 1408;
const partBytesOf = 704;

/** Runs of fewer bytes than this are not worth counting. */
const runsBytesFew = 4096;

/** One follower's way through an encoding. */
export interface Reading {
  readonly link: Reader;
  readonly subscription: number;
  readonly encoding: Encoding;
  /** The part to be sent next. */
  next: number;
  begunAt: number;
  /** When it took the last one, or began; null while it waits for others before it. */
  movedAt: number | null;
}

/** At its beginning. */
export function newReading(link: Reader, subscription: number, encoding: Encoding): Reading {
  return { link, subscription, encoding, next: 0, begunAt: 0, movedAt: null };
}

/** Whoever reads encodings. */
export interface Reader {
  /** More is kept for those who are behind than may be, and this one does not go on: it is to let go of all. */
  tooSlow(): void;
  /** What it had begun threw. */
  failed(error: unknown): void;
}

/**
 * A delta for any number of followers, gathered part by part as they take it: while nothing is committed the image itself is the
 * copy. {@link Encoding.freeze} gathers, just before a commit, the parts that somebody still needs and the commit may change; so every
 * part is of version `to`, and a delta that is on its way costs memory only where the writer overtakes it.
 */
export class Encoding {
  readonly from: number;
  readonly to: number;
  /** Bytes of runs that only this delta has; a full one has those of its feed. */
  readonly runsBytes: number;
  /** Bytes that are kept for its readings because they are not in the image any more. */
  #frozenBytes = 0;
  readonly #readings = new Set<Reading>();
  /** How many of them are in the middle of it, and not only waiting. */
  #takers = 0;
  /** How many are to get each part next. */
  readonly #readingsAt: number[];
  /** The first part that one of them still needs, and the bytes from there on. */
  #low: number;
  #leftBytes = 0;
  readonly #storage: Published;
  readonly #head: DeltaHead;
  readonly #pieces: readonly Float64Array[];
  readonly #parts = new Map<number, EncodedPart>();
  readonly #frozen = new Set<number>();

  /** To be called when its last reading has ended. */
  readonly unread: () => void;

  constructor(storage: Published, head: DeltaHead, runs: Runs, unread = () => {}) {
    this.unread = unread;
    this.from = head.from;
    this.to = head.to;
    this.#storage = storage;
    this.#head = head;
    this.runsBytes = head.full || runs.byteLength < runsBytesFew ? 0 : runs.byteLength;
    this.#pieces = [...splitRuns(runs, headBytesOf(head.meta, head.root), partBytes)];
    this.#readingsAt = Array.from({ length: this.partCount + 1 }, () => 0);
    this.#low = this.partCount;
  }

  get totalBytes(): number {
    return this.#head.totalBytes;
  }

  /** Bytes that somebody has still to get. */
  get leftBytes(): number {
    return this.#leftBytes;
  }

  /** Those of them that are where they were, in the image. */
  get looseBytes(): number {
    return this.#leftBytes - this.#frozenBytes;
  }

  /** Bytes that are kept for its readings. */
  get heldBytes(): number {
    return this.#readings.size > 0 ? this.runsBytes + this.#frozenBytes : 0;
  }

  get readings(): ReadonlySet<Reading> {
    return this.#readings;
  }

  /** A reading begins, or waits to. */
  join(reading: Reading): void {
    this.#readings.add(reading);
    this.#readingsAt[reading.next]!++;
    while (this.#low > reading.next) this.#leftBytes += this.#bytesOf(--this.#low);
  }

  /** It has joined, and is taken from now on. */
  begin(reading: Reading, now: number): void {
    reading.begunAt = reading.movedAt = now;
    this.#takers++;
  }

  /** It has taken its part. Whether something needs to be kept no longer, because it was the last. */
  advance(reading: Reading): boolean {
    this.#readingsAt[reading.next]!--;
    this.#readingsAt[++reading.next]!++;
    return this.#release();
  }

  leave(reading: Reading): boolean {
    if (!this.#readings.delete(reading)) return false;
    if (reading.movedAt !== null) this.#takers--;
    this.#readingsAt[reading.next]!--;
    return this.#release();
  }

  /** Lets go of the parts that all have passed. */
  #release(): boolean {
    const before = this.#leftBytes;
    for (; this.#low < this.partCount && this.#readingsAt[this.#low] === 0; this.#low++) {
      const bytes = this.#bytesOf(this.#low);
      this.#leftBytes -= bytes;
      if (!this.#frozen.delete(this.#low)) continue;
      this.#parts.delete(this.#low);
      this.#frozenBytes -= bytes;
    }
    return this.#leftBytes < before;
  }

  #bytesOf(part: number): number {
    return totalBytes(this.#pieces[part]! as Runs);
  }

  /** What it may take once it is frozen: its bytes, what describes them, and what every object costs. */
  get memoryBytes(): number {
    const { totalBytes, meta } = this.#head;
    let bytes = encodingBytes + totalBytes + 2 * (meta?.byteLength ?? 0); // twice: as it is, and as it travels
    for (const piece of this.#pieces) bytes += partBytesOf + 2 * piece.byteLength;
    return bytes;
  }

  /** What it takes while nobody reads it. */
  get restingBytes(): number {
    let bytes = encodingBytes;
    for (const piece of this.#pieces) bytes += piece.byteLength;
    for (const index of this.#parts.keys())
      bytes += partBytesOf + this.#pieces[index]!.byteLength + this.#bytesOf(index);
    return bytes;
  }

  get partCount(): number {
    return this.#pieces.length;
  }

  /** Whether somebody is in the middle of it. */
  get isTaken(): boolean {
    return this.#takers > 0;
  }

  /** Whether no commit changes anything of what somebody still needs. */
  get isFrozen(): boolean {
    return this.#frozen.size === this.partCount - this.#low;
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
    for (const index of this.#parts.keys()) if (index < this.#low) this.#parts.delete(index); // nobody joins any more
    for (let index = this.#low; index < this.partCount; index++) {
      if (this.#frozen.has(index)) continue;
      if (changing && !intersects(this.#pieces[index]! as Runs, changing)) continue;
      this.part(index);
      this.#frozen.add(index);
      this.#frozenBytes += this.#bytesOf(index);
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
