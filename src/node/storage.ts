import { Lease } from "../array/lease.ts";
import { decodeMeta, metaJson, writeMeta, writeMetaJson } from "../array/meta.ts";
import { NdArray } from "../array/ndarray.ts";
import {
  type ArraySchema,
  type Schema,
  schemaDifference,
  schemaFromJson,
  schemaToJson,
} from "../array/schema.ts";
import type { Runs } from "../delta/runs.ts";
import { fail } from "../errors.ts";
import { Segment, type SegmentOptions } from "../memory/segment.ts";

/** The arrays of one image, by name; the main one is null. */
type Arrays = ReadonlyMap<string | null, NdArray>;

/** The copy that reads of an attached segment look at. */
interface Snapshot {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly arrays: Arrays;
  readers: number;
  version: number;
}

/** What a read sees: one version, whole. Its arrays are read-only. */
export interface View {
  readonly version: number;
  /** Metadata committed with this version; undefined if there never was any. */
  readonly meta: unknown;
  array(name: string): NdArray;
}

/** What a write can change. Valid during the callback; afterwards its arrays throw VIEW_EXPIRED. */
export interface Transaction {
  array(name: string): NdArray;
  /** Metadata to commit with this version (JSON); reading gives what is there now. */
  meta: unknown;
}

/**
 * A segment whose bytes mean something: named typed arrays and a metadata record, read and written under the rules of the commit
 * protocol. Knows nothing of networks.
 */
export class Storage implements Disposable {
  readonly schema: Schema;
  readonly segment: Segment;
  readonly #lease: Lease;
  readonly #working: Arrays;
  readonly #live: Arrays;
  readonly #transaction: Transaction;
  #inWrite = false;
  readonly #metaRecords: { working?: Uint8Array; committed?: Uint8Array } = {};
  #snapshot: Snapshot | null = null;

  private constructor(segment: Segment, schema: Schema) {
    this.segment = segment;
    this.schema = schema;
    this.#lease = new Lease((offset, bytes) => segment.touch(offset, bytes), false);
    this.#working = segment.isWriter ? this.#arrays("working", this.#lease) : new Map();
    this.#live = this.#arrays("committed", Lease.readOnly());
    this.#transaction = new WriteTransaction(this);
  }

  /** Private memory of this process. */
  static createPrivate(schema: Schema): Storage {
    return new Storage(Segment.createPrivate(segmentSpec(schema)), schema);
  }

  /** A named segment that other processes can attach. Takes over what a dead owner left, if it holds the same arrays. */
  static createShared(name: string, schema: Schema, options: SegmentOptions): Storage {
    return Storage.#open(Segment.create(name, segmentSpec(schema), options), schema);
  }

  /** An existing segment. With `expected`, only if it holds exactly that: SCHEMA_MISMATCH names the first difference. */
  static attach(
    nameOrPath: string,
    options: { mode?: "r" | "rw"; expected?: Schema | undefined } & SegmentOptions,
  ): Storage {
    return Storage.#open(Segment.attach(nameOrPath, options), options.expected);
  }

  static #open(segment: Segment, expected: Schema | undefined): Storage {
    try {
      const schema = schemaFromJson(segment.schemaText);
      if (schema.imageBytes !== segment.imageBytes || schema.metaOffset !== segment.metaOffset)
        fail("FORMAT", `Segment ${segment.name}: its schema does not fit its sizes`);
      const difference = expected && schemaDifference(expected, schema);
      if (difference)
        fail("SCHEMA_MISMATCH", `Segment ${segment.name} holds something else: ${difference}`, {
          difference,
        });
      return new Storage(segment, schema);
    } catch (error) {
      segment.close();
      throw error;
    }
  }

  #arrays(image: "working" | "committed", lease: Lease): Arrays {
    return new Map(
      this.schema.arrays.map((array) => {
        const buffer = this.segment.buffer(image, array.offset, array.bytes);
        return [array.name, NdArray.over(array, buffer, lease, array.offset)];
      }),
    );
  }

  get version(): number {
    return this.segment.version;
  }

  get isWriter(): boolean {
    return this.segment.isWriter;
  }

  has(name: string | null): boolean {
    return this.#live.has(name);
  }

  /** A live read-only view of the committed image: it shows every commit at once, also the half of one in progress elsewhere. */
  live(name: string | null): NdArray {
    return pick(this.#live, name);
  }

  /** Runs `fn` in a transaction; what it throws undoes everything. Returns how many blocks changed. */
  write(fn: (main: NdArray, tx: Transaction) => unknown): number {
    this.begin();
    try {
      const result = fn(this.#working.get(null) as NdArray, this.#transaction);
      if (result instanceof Promise) {
        result.catch(() => {});
        fail("ASYNC_WRITE", "A write callback cannot be async: others wait for it. Await first, then write");
      }
    } catch (error) {
      this.rollback();
      throw error;
    }
    return this.commit();
  }

  begin(): void {
    this.segment.begin();
    this.#inWrite = true;
    this.#lease.open = true;
  }

  /** Called before every commit of this process: whoever still reads the old image copies it now. */
  beforeCommit: (() => void) | null = null;

  commit(): number {
    this.beforeCommit?.();
    this.#end();
    return this.segment.commit();
  }

  rollback(): void {
    this.#end();
    this.segment.rollback();
  }

  #end(): void {
    this.#inWrite = false;
    this.#lease.open = false;
  }

  /** @internal */
  workingArray(name: string | null): NdArray {
    return pick(this.#working, name);
  }

  get inWrite(): boolean {
    return this.#inWrite;
  }

  /** Replaces the metadata of the transaction; undefined takes it away. INVALID_META: not JSON, or too long. */
  setMeta(value: unknown): void {
    if (!this.#inWrite) fail("NOT_IN_WRITE", "Metadata belongs to a version: set it inside write()");
    this.segment.touch(this.schema.metaOffset, writeMeta(this.#metaRecord("working"), value));
  }

  /** The same with JSON text as it comes from a peer. FORMAT, INVALID_META. */
  setMetaJson(text: Uint8Array): void {
    this.segment.touch(this.schema.metaOffset, writeMetaJson(this.#metaRecord("working"), text));
  }

  workingMeta(): unknown {
    return decodeMeta(this.#metaRecord("working"));
  }

  /** The committed metadata as JSON text, a live view; empty where there is none. For the process that writes. */
  metaJson(): Uint8Array {
    return metaJson(this.#metaRecord("committed"));
  }

  get meta(): unknown {
    return this.read((_, view) => view.meta);
  }

  /** Whether the metadata changed after `version`. */
  isMetaNewer(version: number): boolean {
    const { metaOffset, metaBytesMax } = this.schema;
    return this.segment.changedSince(version, new Float64Array([metaOffset, metaBytesMax])).runs.length > 0;
  }

  #metaRecord(image: "working" | "committed"): Uint8Array {
    const { metaOffset, metaBytesMax } = this.schema;
    return (this.#metaRecords[image] ??= new Uint8Array(
      this.segment.buffer(image, metaOffset, metaBytesMax),
    ));
  }

  /**
   * Calls `fn` with one version. In the process that writes it sees the committed image itself, at no cost; an attached process
   * gets a copy. Either way the arrays are for the callback only: copy what should outlive it.
   */
  read<R>(fn: (main: NdArray, view: View) => R): R {
    return this.isWriter ? this.#readCommitted(fn) : this.#readSnapshot(fn);
  }

  #readCommitted<R>(fn: (main: NdArray, view: View) => R): R {
    const meta = () => decodeMeta(this.#metaRecord("committed"));
    return fn(this.#live.get(null) as NdArray, new ReadView(this.#live, this.version, meta));
  }

  #readSnapshot<R>(fn: (main: NdArray, view: View) => R): R {
    const snapshot = (this.#snapshot ??= this.#makeSnapshot());
    if (snapshot.readers === 0) snapshot.version = this.segment.snapshot(snapshot.bytes);
    snapshot.readers++; // a read inside a read sees the same version: the outer one still looks at it
    try {
      const { metaOffset, metaBytesMax } = this.schema;
      const meta = () => decodeMeta(snapshot.bytes.subarray(metaOffset, metaOffset + metaBytesMax));
      return fn(snapshot.arrays.get(null) as NdArray, new ReadView(snapshot.arrays, snapshot.version, meta));
    } finally {
      snapshot.readers--;
    }
  }

  #makeSnapshot(): Snapshot {
    const bytes = new Uint8Array(this.schema.imageBytes);
    const lease = Lease.readOnly();
    const arrays = new Map(
      this.schema.arrays.map((array) => [array.name, NdArray.over(array, bytes.buffer, lease)] as const),
    );
    return { bytes, arrays, readers: 0, version: 0 };
  }

  /** A private copy of one array at one version. */
  snapshot(name: string | null): { version: number; array: NdArray } {
    const schema = arrayOf(this.schema, name);
    const bytes = new Uint8Array(schema.bytes);
    const version = this.segment.snapshot(bytes, schema.offset);
    return { version, array: NdArray.over(schema, bytes.buffer, Lease.readOnly(), schema.offset) };
  }

  changedSince(version: number, clip: Runs | null = null): { version: number; runs: Runs } {
    return this.segment.changedSince(version, clip);
  }

  close(): void {
    this.segment.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

class WriteTransaction implements Transaction {
  readonly #storage: Storage;

  constructor(storage: Storage) {
    this.#storage = storage;
  }

  array(name: string): NdArray {
    return this.#storage.workingArray(name);
  }

  get meta(): unknown {
    return this.#storage.workingMeta();
  }

  set meta(value: unknown) {
    this.#storage.setMeta(value);
  }
}

class ReadView implements View {
  readonly version: number;
  readonly #arrays: Arrays;
  readonly #meta: () => unknown;

  constructor(arrays: Arrays, version: number, meta: () => unknown) {
    this.#arrays = arrays;
    this.version = version;
    this.#meta = meta;
  }

  get meta(): unknown {
    return this.#meta();
  }

  array(name: string): NdArray {
    return pick(this.#arrays, name);
  }
}

function pick(arrays: Arrays, name: string | null): NdArray {
  return arrays.get(name) ?? unknownArray([...arrays.keys()], name);
}

function arrayOf(schema: Schema, name: string | null): ArraySchema {
  return (
    schema.arrays.find((array) => array.name === name) ??
    unknownArray(
      schema.arrays.map((array) => array.name),
      name,
    )
  );
}

function unknownArray(names: (string | null)[], name: string | null): never {
  const known = names.map((each) => each ?? "the main array").join(", ");
  return fail(
    "INVALID_NAME",
    `There is no ${name === null ? "main array" : `array "${name}"`} here, only ${known || "none"}`,
    {
      name,
    },
  );
}

function segmentSpec(schema: Schema) {
  return { schemaText: schemaToJson(schema), imageBytes: schema.imageBytes, metaOffset: schema.metaOffset };
}
