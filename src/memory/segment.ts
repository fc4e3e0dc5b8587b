import { randomFillSync } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { fail } from "../errors.ts";
import { check, failure } from "./failure.ts";
import { bufferAt, cString, library } from "./library.ts";
import { LockFile } from "./lock.ts";
import { checkFileSystem, checkRoom, placeOf, type Place } from "./place.ts";

/** What a new segment holds, in bytes; what they mean is the schema's matter. */
export interface SegmentSpec {
  /** Kept verbatim in the header. */
  readonly schemaText: string;
  readonly imageBytes: number;
  readonly metaOffset: number;
}

export interface SegmentOptions {
  /** The last user leaves the files in place. Default false. */
  readonly persist?: boolean;
  /** Allow file systems on which shared mappings or locks are not known to work. Default false. */
  readonly unsafeFilesystem?: boolean;
}

/** How an existing file was found when a writer opened it. */
export type Recovery = "clean" | "rolled forward" | "rolled back";

const recoveries: readonly Recovery[] = ["clean", "rolled forward", "rolled back"];
const persistFeature = 1;
const field = {
  working: 0,
  committed: 1,
  imageBytes: 2,
  metaOffset: 3,
  schema: 4,
  schemaBytes: 5,
  blockShift: 6,
  blockCount: 7,
  touched: 8,
  touchedWords: 9,
  summary: 10,
  summaryWords: 11,
  incarnation: 12,
  rollbacks: 13,
  recoveries: 14,
  ownerPid: 15,
  lockTakenNs: 16,
  features: 17,
  bootId: 18,
  hit: 19,
} as const;

/** The 16 bytes by which Linux names this boot; zeros where it does not say. */
function bootId(): Uint8Array {
  try {
    const text = readFileSync("/proc/sys/kernel/random/boot_id", "utf8");
    return new Uint8Array(Buffer.from(text.replaceAll("-", "").trim(), "hex"));
  } catch {
    return new Uint8Array(16);
  }
}

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
  readonly isWriter: boolean;
  /** What opening an existing segment for writing had to do. */
  readonly recovery: Recovery;

  readonly #handle: number;
  readonly #lock: LockFile | null;
  readonly #blockShift: number;
  readonly #touched: Uint32Array;
  readonly #summary: Uint32Array;
  readonly #buffers: ArrayBuffer[] = [];
  #runs = new Float64Array(2 * 512);
  readonly #info = new Float64Array(1);
  #open = true;

  private constructor(handle: number, place: Place | null, lock: LockFile | null, writer: boolean) {
    this.#handle = handle;
    this.#lock = lock;
    this.name = place?.name ?? null;
    this.imageBytes = this.#field(field.imageBytes);
    this.metaOffset = this.#field(field.metaOffset);
    this.#blockShift = this.#field(field.blockShift);
    this.blockBytes = 2 ** this.#blockShift;
    this.blockCount = this.#field(field.blockCount);
    this.persist = (this.#field(field.features) & persistFeature) !== 0;
    this.schemaText = Buffer.from(
      bufferAt(this.#field(field.schema), this.#field(field.schemaBytes)).slice(0),
    ).toString();
    this.incarnation = Buffer.from(bufferAt(this.#field(field.incarnation), 16).slice(0)).toString("hex");
    this.isWriter = writer;
    this.#touched = this.#words(field.touched, field.touchedWords);
    this.#summary = this.#words(field.summary, field.summaryWords);
    this.recovery = recoveries[writer ? this.#recover() : 0]!;
    if (place) openSegments.add(this);
  }

  /** Private memory of this process; its Workers may be given the buffers. */
  static createPrivate(spec: SegmentSpec): Segment {
    return new Segment(createHandle(null, spec, 0), null, null, true);
  }

  /**
   * Creates a named segment and owns writing in it. Where a file of that name was left by a writer that is gone, takes it over as it
   * is; the caller compares `schemaText`.
   * @throws EXISTS when another process owns it; NO_SPACE; UNSAFE_FILE; INVALID_NAME
   */
  static create(nameOrPath: string, spec: SegmentSpec, options: SegmentOptions = {}): Segment {
    const place = placeOf(nameOrPath);
    checkFileSystem(place, options.unsafeFilesystem ?? false);
    const lock = LockFile.open(place, { create: true });
    try {
      if (!lock.takeWriter())
        fail(
          "EXISTS",
          `Segment ${place.name} is owned by another process: attach() to it, or use another name`,
          {
            name: place.name,
          },
        );
      if (existsSync(place.data)) return Segment.#takeOver(place, lock);
      checkRoom(place, check(segmentBytes(spec), `create ${place.name}`));
      return new Segment(createHandle(place, spec, options.persist ? persistFeature : 0), place, lock, true);
    } catch (error) {
      if (!existsSync(place.data)) lock.removeIfLast();
      lock.close();
      throw error;
    }
  }

  static #takeOver(place: Place, lock: LockFile): Segment {
    const handle = attachHandle(place, true);
    return new Segment(handle, place, lock, true);
  }

  /**
   * Attaches an existing segment, for reading (the default) or to own writing in it.
   * @throws NOT_FOUND, LOCKED (rw: another process owns writing), UNSAFE_FILE, FORMAT, TRUNCATED
   */
  static attach(nameOrPath: string, options: { mode?: "r" | "rw" } & SegmentOptions = {}): Segment {
    const place = placeOf(nameOrPath);
    checkFileSystem(place, options.unsafeFilesystem ?? false);
    const writer = options.mode === "rw";
    const lock = LockFile.open(place, { create: false });
    try {
      if (writer && !lock.takeWriter())
        fail("LOCKED", `Cannot attach ${place.name} for writing: another process owns writing`, {
          name: place.name,
        });
      return new Segment(attachHandle(place, writer), place, lock, writer);
    } catch (error) {
      lock.close();
      throw error;
    }
  }

  #field(which: number): number {
    return library.segmentField(this.#handle, which);
  }

  #words(address: number, count: number): Uint32Array {
    return this.#field(address) === 0
      ? new Uint32Array(0)
      : new Uint32Array(bufferAt(this.#field(address), 4 * this.#field(count)));
  }

  #recover(): number {
    const result = check(library.segmentRecover(this.#handle), `recover ${this.name}`);
    check(library.segmentSign(this.#handle), `sign ${this.name}`);
    return result;
  }

  #living(): number {
    if (!this.#open) fail("CLOSED", `Segment ${this.name ?? "(private)"} is closed`);
    return this.#handle;
  }

  get isOpen(): boolean {
    return this.#open;
  }

  /** The newest committed version; 0 before the first commit. */
  get version(): number {
    return check(library.version(this.#living()), "read the version");
  }

  /** Whether pages of the file were lost under the mapping. */
  get isTruncated(): boolean {
    return library.segmentField(this.#living(), field.hit) === 1;
  }

  get counters(): { rollbacks: number; recoveries: number } {
    this.#living();
    return { rollbacks: this.#field(field.rollbacks), recoveries: this.#field(field.recoveries) };
  }

  /** A live view of part of an image. `committed` changes with every commit; `working` is the writer's. */
  buffer(image: "working" | "committed", offset: number, bytes: number): ArrayBuffer {
    this.#living();
    if (offset < 0 || bytes <= 0 || offset + bytes > this.imageBytes)
      fail(
        "INVALID_REGION",
        `Bytes ${offset} to ${offset + bytes} lie outside of the image (${this.imageBytes})`,
      );
    const buffer = bufferAt(this.#field(field[image]) + offset, bytes);
    this.#buffers.push(buffer);
    return buffer;
  }

  /** Opens a transaction. @throws READ_ONLY, NESTED_WRITE */
  begin(): void {
    const result = library.begin(this.#living());
    if (result < 0) failure(result, `write ${this.name ?? "the segment"}`);
  }

  /** Notes that bytes of the working image may have changed; commit and rollback look nowhere else. */
  touch(offset: number, bytes: number): void {
    const first = Math.floor(offset / this.blockBytes);
    const last = Math.floor((offset + bytes - 1) / this.blockBytes);
    if (first === last) this.#touchBlock(first);
    else this.#touchBlocks(first, last);
  }

  #touchBlock(block: number): void {
    this.#touched[block >>> 5]! |= 1 << (block & 31);
    this.#summary[block >>> 10]! |= 1 << ((block >>> 5) & 31);
  }

  #touchBlocks(first: number, last: number): void {
    for (let block = first; block <= last;) {
      if ((block & 31) === 0 && block + 31 <= last) {
        this.#touched[block >>> 5] = 0xffffffff;
        this.#summary[block >>> 10]! |= 1 << ((block >>> 5) & 31);
        block += 32;
      } else this.#touchBlock(block++);
    }
  }

  /** Commits what changed; returns how many blocks did. 0: nothing did, and no version was made. */
  commit(): number {
    const blocks = library.commit(this.#living());
    return blocks < 0 ? failure(blocks, `commit ${this.name ?? "the segment"}`) : blocks;
  }

  /** Undoes the transaction. */
  rollback(): void {
    check(library.rollback(this.#living()), `roll back ${this.name ?? "the segment"}`);
  }

  /** Wakes waiting processes if there were commits since the last ring: once per turn of the event loop is enough. */
  ring(): void {
    if (this.name !== null) library.ring(this.#living());
  }

  /** Fills `into` with a consistent copy of the image from `offset` on. Returns the version it is of. */
  snapshot(into: Uint8Array, offset = 0): number {
    const version = library.snapshot(this.#living(), into, offset, into.byteLength);
    return version >= 0 ? version : check(version, `read ${this.name ?? "the segment"}`);
  }

  /** Image runs changed after `version` (whole blocks, clipped to `clip`), and the version that they lead to. */
  changedSince(
    version: number,
    clip: Float64Array | null = null,
  ): { version: number; runs: Float64Array<ArrayBuffer> } {
    for (;;) {
      const capacity = this.#runs.length / 2;
      const clips = clip ? clip.length / 2 : 0;
      if (clip && clips === 0) return { version: this.version, runs: new Float64Array(0) };
      const count = library.changedSince(
        this.#living(),
        version,
        clip,
        clips,
        this.#runs,
        capacity,
        this.#info,
      );
      if (count < 0) failure(count, `read ${this.name ?? "the segment"}`);
      if (count <= capacity) return { version: this.#info[0]!, runs: this.#runs.slice(0, 2 * count) };
      this.#runs = new Float64Array(4 * count);
    }
  }

  /** Copies runs of an image into `into`, one after the other. Consistent only in the process that writes. */
  gather(runs: Float64Array, into: Uint8Array, image: "working" | "committed" = "committed"): void {
    if (runs.length === 0) return;
    this.#living();
    const from = this.#field(field[image]);
    check(
      library.gather(into, into.byteLength, from, this.imageBytes, runs, runs.length / 2),
      `read ${this.name ?? "the segment"}`,
    );
  }

  /** Inside a transaction: copies pieces (image offset, offset in `from`, bytes) into the working image, and touches what differs. */
  scatter(from: Uint8Array, pieces: Float64Array): void {
    if (pieces.length === 0) return;
    check(
      library.scatter(this.#living(), from, from.byteLength, pieces, pieces.length / 3),
      `write ${this.name ?? "the segment"}`,
    );
  }

  /** The address of the library's handle, for the doorbell. */
  get handle(): number {
    return this.#living();
  }

  /** Detaches every buffer, unmaps, releases the lock, and removes the files if this was the last user. Twice is nothing. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    openSegments.delete(this);
    for (const buffer of this.#buffers) buffer.transfer(0);
    library.segmentClose(this.#handle);
    if (!this.#lock) return;
    if (!this.persist) this.#lock.removeIfLast();
    this.#lock.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function segmentBytes(spec: SegmentSpec): number {
  return library.segmentBytes(spec.imageBytes, Buffer.byteLength(spec.schemaText));
}

function createHandle(place: Place | null, spec: SegmentSpec, features: number): number {
  const out = new BigInt64Array(1);
  const schema = Buffer.from(spec.schemaText);
  const identity = randomFillSync(new Uint8Array(32));
  identity.set(bootId(), 16);
  check(
    library.segmentCreate(
      place && cString(place.directory),
      place && cString(place.data),
      schema,
      schema.byteLength,
      spec.imageBytes,
      spec.metaOffset,
      identity,
      features,
      out,
    ),
    `create ${place?.name ?? "the segment"}`,
  );
  return Number(out[0]);
}

function attachHandle(place: Place, writable: boolean): number {
  const out = new BigInt64Array(1);
  check(library.segmentAttach(cString(place.data), writable ? 1 : 0, out), `attach ${place.name}`);
  const handle = Number(out[0]);
  const boot = new Uint8Array(bufferAt(library.segmentField(handle, field.bootId), 16).slice(0));
  if (!Buffer.from(boot).equals(bootId())) {
    library.segmentClose(handle);
    fail(
      "FORMAT",
      `Cannot attach ${place.name}: it was last mapped before this machine's restart, and nobody knows which of its pages ` +
        `reached the disk; remove ${place.data} and restore it from a source you trust`,
      { name: place.name },
    );
  }
  return handle;
}

/** A process that ends without closing takes its segments down properly all the same. */
const openSegments = new Set<Segment>();
process.on("exit", () => {
  for (const segment of openSegments) segment.close();
});
