import { type Changed, Changes, gather } from "./changes.ts";
import { Claims } from "./claims.ts";
import { check, failure } from "./failure.ts";
import { fail } from "../errors.ts";
import { createHandle, field, isPersistent, type SegmentSpec, type Writers, writersOf } from "./handle.ts";
import type { Held } from "./held.ts";
import { bufferAt, library } from "./library.ts";
import type { LockFile } from "./lock.ts";
import {
  type Access,
  type CreateOptions,
  lockTimeoutDefaultMs,
  type Opened,
  openExisting,
  openNew,
  type Recovery,
  type SegmentOptions,
} from "./opening.ts";
import { Touched } from "./touched.ts";
import { Turns } from "./turns.ts";
import { type Inspection, inspect } from "./verification.ts";
import { Views } from "./views.ts";

export type { SegmentSpec, Writers } from "./handle.ts";
export type { Access, CreateOptions, Recovery, SegmentOptions } from "./opening.ts";

const TRUNCATED = -10005;

type Image = "working" | "committed";

/**
 * A mapped segment: two images of the same bytes, one to write and one to read, and the versions between them. Knows bytes only.
 * Every buffer it hands out is live and is detached (length 0) by {@link Segment.close}.
 */
export class Segment implements Disposable {
  readonly name: string | null;
  readonly schemaText: string;
  readonly incarnation: string;
  readonly imageBytes: number;
  readonly metaOffset: number;
  readonly blockBytes: number;
  readonly blockCount: number;
  readonly persist: boolean;
  readonly writers: Writers;
  /** What this handle may do: "own": it alone writes; "turns": it writes in turn with others; "read". */
  readonly access: Access;
  /** What opening an existing segment for writing had to do. */
  readonly recovery: Recovery;

  readonly #handle: number;
  readonly #lock: LockFile | null;
  readonly #turns: Turns | null;
  readonly #claims: Claims | null;
  readonly #touched: Touched;
  readonly #views = new Views();
  readonly #changes = new Changes();
  /** What looks at the memory from other threads, to be ended before it goes away. */
  readonly #onlookers = new Set<Disposable>();
  /** With turns: the version at the end of the last one. */
  #ended = 0;
  /** There is more to do at the end of the transaction: a turn to give, buffers to take back. */
  #isLoose = false;
  #open = true;

  private constructor(handle: number, opened: Opened | null, lockTimeoutMs: number) {
    this.#handle = handle;
    this.#lock = opened?.lock ?? null;
    this.name = opened?.place.name ?? null;
    this.access = opened?.access ?? "own";
    this.recovery = opened?.recovery ?? "clean";
    this.imageBytes = this.#field(field.imageBytes);
    this.metaOffset = this.#field(field.metaOffset);
    this.blockBytes = 2 ** this.#field(field.blockShift);
    this.blockCount = this.#field(field.blockCount);
    this.persist = isPersistent(handle);
    this.writers = writersOf(handle);
    this.schemaText = Buffer.from(
      bufferAt(this.#field(field.schema), this.#field(field.schemaBytes)).slice(0),
    ).toString();
    this.incarnation = Buffer.from(bufferAt(this.#field(field.incarnation), 16).slice(0)).toString("hex");
    this.#touched = new Touched(
      this.#words(field.touched, field.touchedWords),
      this.#words(field.summary, field.summaryWords),
      this.blockBytes,
    );
    this.#turns = this.access === "turns" ? this.#queue(lockTimeoutMs) : null;
    this.#claims = this.access === "turns" ? new Claims(this.#lock!, this.imageBytes) : null;
    if (opened) openSegments.add(this);
  }

  /** Private memory of this process; its Workers may be given the buffers. */
  static createPrivate(spec: SegmentSpec): Segment {
    return new Segment(createHandle(null, spec, 0), null, 0);
  }

  /**
   * Creates a named segment to write in. Where a file of that name was left by writers that are gone, takes it over as it is; the
   * caller compares `schemaText`. With `ifExists: "attach"`, the one who comes second attaches: to read, or with many writers to
   * write too.
   * @throws EXISTS when another process writes it; SCHEMA_MISMATCH for other `writers`; NO_SPACE; UNSAFE_FILE; INVALID_NAME
   */
  static create(nameOrPath: string, spec: SegmentSpec, options: CreateOptions = {}): Segment {
    return Segment.#of(openNew(nameOrPath, spec, options), options);
  }

  /**
   * Attaches an existing segment, for reading (the default) or to write in it: alone, or where its `writers` are many, in turn.
   * @throws NOT_FOUND, LOCKED (rw: another process owns writing), SCHEMA_MISMATCH, UNSAFE_FILE, FORMAT, TRUNCATED
   */
  static attach(nameOrPath: string, options: { mode?: "r" | "rw" } & SegmentOptions = {}): Segment {
    return Segment.#of(openExisting(nameOrPath, options.mode ?? "r", options), options);
  }

  static #of(opened: Opened, { lockTimeoutMs = lockTimeoutDefaultMs }: SegmentOptions): Segment {
    try {
      return new Segment(opened.handle, opened, lockTimeoutMs);
    } catch (error) {
      library.segmentClose(opened.handle);
      opened.lock.close();
      throw error;
    }
  }

  #queue(lockTimeoutMs: number): Turns {
    const facts = { name: this.name!, incarnation: this.incarnation, lockTimeoutMs };
    return new Turns(this.#handle, this.#lock!, facts);
  }

  #field(which: number): number {
    return library.segmentField(this.#handle, which);
  }

  #words(address: number, count: number): Uint32Array {
    return this.#field(address) === 0
      ? new Uint32Array(0)
      : new Uint32Array(bufferAt(this.#field(address), 4 * this.#field(count)));
  }

  #living(): number {
    if (!this.#open) fail("CLOSED", `Segment ${this.name ?? "(private)"} is closed`);
    return this.#handle;
  }

  /** A result of the library that is an error; where the memory is lost, nobody looks at it any more. */
  #refuse(result: number, doing: string): never {
    if (result === TRUNCATED) this.#views.close();
    return failure(result, `${doing} ${this.name ?? "the segment"}`);
  }

  get isOpen(): boolean {
    return this.#open;
  }

  /** Whether this handle can write at all. */
  get isWriter(): boolean {
    return this.access !== "read";
  }

  /** The newest committed version; 0 before the first commit. */
  get version(): number {
    return check(library.version(this.#living()), "read the version");
  }

  /** The version at the end of this handle's last transaction; others may have made newer ones. */
  get endedVersion(): number {
    return this.#turns ? this.#ended : this.version;
  }

  /** Whether pages of the file were found lost under the mapping. */
  get isTruncated(): boolean {
    return library.segmentField(this.#living(), field.hit) === 1;
  }

  /** @throws TRUNCATED if pages were found lost: what views show since then is not what was committed. */
  checkWhole(): void {
    if (this.isTruncated) this.#refuse(TRUNCATED, "read");
  }

  /** Looks at the file. @throws TRUNCATED, STALE if it was removed: its name may stand for another segment by now */
  checkFile(): void {
    const result = library.segmentLost(this.#living());
    if (result < 0) this.#refuse(result, "use");
  }

  get counters(): { rollbacks: number; recoveries: number } {
    this.#living();
    return { rollbacks: this.#field(field.rollbacks), recoveries: this.#field(field.recoveries) };
  }

  /** A live view of part of an image. `committed` changes with every commit; `working` is the writer's. */
  buffer(image: Image, offset: number, bytes: number): ArrayBuffer {
    return this.#views.keep(this.#addressOf(image, offset, bytes), bytes);
  }

  /**
   * A live view of part of the committed image, for those who might store into it by mistake: in a file's segment such a store stays
   * in this process, in pages (4 KiB) that from then on show no later commit. Where the system grants no such mapping, the image itself.
   */
  overlay(offset: number, bytes: number): ArrayBuffer {
    const committed = this.#addressOf("committed", offset, bytes);
    const overlay = library.segmentOverlay(this.#handle);
    return this.#views.keep(overlay > 0 ? overlay + offset : committed, bytes);
  }

  /** A live view of part of the working image that lasts until the transaction ends. */
  lend(offset: number, bytes: number): ArrayBuffer {
    this.#isLoose = true;
    return this.#views.lend(this.#addressOf("working", offset, bytes), bytes);
  }

  #addressOf(image: Image, offset: number, bytes: number): number {
    this.#living();
    if (!(offset >= 0 && bytes > 0 && offset + bytes <= this.imageBytes))
      fail(
        "INVALID_REGION",
        `Bytes ${offset} to ${offset + bytes} lie outside of the image (${this.imageBytes})`,
      );
    return this.#field(field[image]) + offset;
  }

  /** Opens a transaction; with many writers, waits for its turn first. @throws READ_ONLY, NESTED_WRITE, LOCKED, STALE, TRUNCATED */
  begin(): void {
    if (this.#turns !== null) this.#takeTurn(this.#turns);
    const result = library.begin(this.#living());
    if (result === 0) return;
    this.#turns?.give();
    this.#refuse(result, "write");
  }

  #takeTurn(turns: Turns): void {
    this.#living();
    turns.take();
    this.#isLoose = true;
  }

  /** Notes that bytes of the working image may have changed; commit and rollback look nowhere else. */
  touch(offset: number, bytes: number): void {
    this.#touched.add(offset, bytes);
  }

  /** Image runs that the transaction in progress may have changed so far, in whole blocks. */
  touchedRuns(): Float64Array<ArrayBuffer> {
    const runs = Float64Array.from(this.#touched.blocks(), (blocks) => blocks * this.blockBytes);
    const last = runs.length - 2;
    if (last >= 0) runs[last + 1] = Math.min(runs[last + 1]!, this.imageBytes - runs[last]!);
    return runs;
  }

  /** The image offset of a byte in `runs` (pairs of offset and length) that the transaction in progress has changed; null if none is. */
  changedWithin(runs: Float64Array): number | null {
    const result = library.changedWithin(this.#living(), runs, runs.length / 2);
    if (result < 0) this.#refuse(result, "write");
    return result === 0 ? null : result - 1;
  }

  /** Claims these bytes among many writers, and lets go of all others; alone, nobody else writes anyway. As {@link Claims.set}. */
  claim(runs: Float64Array): number | null {
    this.#living();
    return this.#claims?.set(runs) ?? null;
  }

  /** The image offset of a byte that another of many writers has claimed and the transaction in progress has changed; null if none is. */
  changedElsewhere(): number | null {
    if (!this.#claims) return null;
    const touched = this.touchedRuns();
    if (touched.length === 0) return null;
    const claimed = this.#claims.elsewhere(touched[0], touched.at(-2)! + touched.at(-1)! - touched[0]!);
    return claimed.length > 0 ? this.changedWithin(Float64Array.from(claimed)) : null;
  }

  /** Commits what changed; returns how many blocks did. 0: nothing did, and no version was made. */
  commit(): number {
    const blocks = library.commit(this.#living());
    if (this.#isLoose) this.#end();
    return blocks < 0 ? this.#refuse(blocks, "commit") : blocks;
  }

  /** Undoes the transaction. */
  rollback(): void {
    const result = library.rollback(this.#living());
    if (this.#isLoose) this.#end();
    if (result < 0) this.#refuse(result, "roll back");
  }

  #end(): void {
    this.#isLoose = false;
    this.#views.revoke();
    if (!this.#turns?.isTaken) return;
    this.#ended = library.version(this.#handle);
    this.#turns.give();
  }

  /** Wakes waiting processes if there were commits since the last ring: once per turn of the event loop is enough. */
  ring(): void {
    if (this.name !== null) library.ring(this.#living());
  }

  /** Fills `into` with a consistent copy of the image from `offset` on. Returns the version it is of. */
  snapshot(into: Uint8Array, offset = 0): number {
    const version = library.snapshot(this.#living(), into, offset, into.byteLength);
    return version >= 0 ? version : this.#refuse(version, "read");
  }

  /** Brings `into`, a copy of the whole image at `version` (0: of none), to the newest. Costs what changed. TRUNCATED, STALE, LOCKED */
  refresh(into: Uint8Array, version: number): number {
    const newest = library.refresh(this.#living(), into, version);
    return newest >= 0 ? newest : this.#refuse(newest, "read");
  }

  /**
   * Brings copies of parts of the image up to date: `pieces` are triples (image offset, offset in `into`, bytes), all of them as they
   * were at version `since`, or 0 where nothing was copied yet. Copies what changed since then, and returns the version of all of them;
   * after an error they are of none.
   */
  refreshPieces(into: Held, pieces: Float64Array, since: number): number {
    const { address, bytes } = into;
    const newest = library.refreshPieces(this.#living(), address, bytes, since, pieces, pieces.length / 3);
    return newest >= 0 ? newest : this.#refuse(newest, "read");
  }

  /**
   * Image runs changed after `version` (whole blocks, clipped to `clip`), and the version that they lead to. `exactly`: the words of 8
   * bytes where they are known: of the last commits of this handle, from the second time on that somebody asks.
   */
  changedSince(version: number, clip: Float64Array | null = null, exactly = false): Changed {
    if (clip?.length === 0) return { version: this.version, runs: new Float64Array(0) };
    const changed = this.#changes.since(this.#living(), version, clip, exactly);
    return typeof changed === "number" ? this.#refuse(changed, "read") : changed;
  }

  /** Copies runs of an image into `into`, one after the other. Consistent only while nobody else writes. */
  gather(runs: Float64Array, into: Uint8Array, image: Image = "committed"): void {
    if (runs.length === 0) return;
    this.#living();
    gather(runs, into, this.#field(field[image]), this.imageBytes);
  }

  /** Inside a transaction: copies pieces (image offset, offset in `from`, bytes) into the working image, and touches what differs. */
  scatter(from: Uint8Array, pieces: Float64Array): void {
    if (pieces.length === 0) return;
    const result = library.scatter(this.#living(), from, from.byteLength, pieces, pieces.length / 3);
    if (result < 0) this.#refuse(result, "write");
  }

  /**
   * Looks for bytes that changed without a commit. With turns it takes one, so nobody writes meanwhile.
   * @throws NESTED_WRITE inside a transaction, LOCKED, TRUNCATED
   */
  verify(): Inspection {
    const handle = this.#living();
    this.#turns?.take();
    try {
      return inspect(handle, this.isWriter, this);
    } finally {
      this.#turns?.give();
    }
  }

  /** From now on `onlooker` is disposed of when the segment is closed, before anything else, unless the result was called by then. */
  watch(onlooker: Disposable): () => void {
    this.#onlookers.add(onlooker);
    return () => void this.#onlookers.delete(onlooker);
  }

  /** The library's handle and the descriptor of the lock file, for the doorbell. */
  get addresses(): { handle: number; lock: number } {
    return { handle: this.#living(), lock: this.#lock?.fd ?? -1 };
  }

  /** Detaches every buffer, unmaps, releases the lock, and removes the files if this was the last user. Twice is nothing. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    openSegments.delete(this);
    for (const onlooker of this.#onlookers) onlooker[Symbol.dispose]();
    this.#views.close();
    if (this.isWriter) library.ring(this.#handle);
    if (this.#views.isMoved) library.segmentKeepMapped(this.#handle);
    library.segmentClose(this.#handle);
    if (!this.#lock) return;
    try {
      if (!this.persist) this.#lock.removeIfLast();
    } finally {
      this.#lock.close();
    }
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** A process that ends without closing takes its segments down properly all the same. */
const openSegments = new Set<Segment>();
process.on("exit", () => {
  for (const segment of openSegments) segment.close();
});
