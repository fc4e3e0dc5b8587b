import { isCompanion, isStamped } from "../../array/companion.ts";
import { Lease } from "../../array/lease.ts";
import { decodeMeta, metaJson, writeMeta, writeMetaJson } from "../../array/meta.ts";
import { NdArray } from "../../array/ndarray.ts";
import {
  type ArraySchema,
  contentDifference,
  type Schema,
  schemaFromJson,
  schemaToJson,
} from "../../array/schema.ts";
import { noRuns, type Runs } from "../../delta/runs.ts";
import type { HybridClock } from "../../delta/stamp.ts";
import { fail } from "../../errors.ts";
import { type CreateOptions, Segment, type SegmentOptions } from "../../memory/segment.ts";
import type { SchemaCheck } from "../options/attaching.ts";
import { type Verification, verification } from "./damage.ts";
import { checkFollowed, refuseClaim } from "./ownership.ts";
import { type Published, Shadow } from "./shadow.ts";
import { type Standing, StandingPlace } from "./standing.ts";
import { Stamping } from "./stamping.ts";
import {
  type Arrays,
  pickArray,
  ReadView,
  type Transaction,
  unknownArray,
  type View,
  WriteTransaction,
} from "./views.ts";

export type { Transaction, View } from "./views.ts";

/** MEMBLAST_STRICT=1: raw views of the working image are taken away at the end of their transaction. */
const isStrict = process.env["MEMBLAST_STRICT"] === "1";

/**
 * A segment whose bytes mean something: named typed arrays and a metadata record, read and written under the rules of the commit
 * protocol. Knows nothing of networks.
 */
export class Storage implements Disposable, Published {
  readonly schema: Schema;
  readonly segment: Segment;
  readonly incarnation: string;
  /** Whether nobody else writes, so that the committed image stands still between our own commits. */
  readonly isSole: boolean;
  /** The state that followers of this node get. */
  readonly published: Published;
  beforeCommit: Published["beforeCommit"] = null;
  /** What the metadata were when this process began, or what a server made of them since. */
  #othersMeta: Uint8Array;
  #ownsMeta = false;
  /** Where elements know when they were written. */
  readonly stamping: Stamping | null;
  readonly #lease: Lease;
  readonly #working: Arrays;
  readonly #live: Arrays;
  readonly #transaction: Transaction;
  readonly #metaRecords: { working?: Uint8Array; committed?: Uint8Array } = {};
  /** The copy that reads beside other writers look at, and its arrays. */
  readonly #shadow: Shadow | null;
  #shadowArrays: Arrays | null = null;
  #inWrite = false;
  readonly #standing: StandingPlace;
  #setsMeta = false;
  /** What a server's metadata are, where the transaction takes them over. */
  #serversMeta: Uint8Array | null = null;
  #followed: Runs = noRuns;

  private constructor(segment: Segment, schema: Schema, clock: HybridClock | null) {
    this.segment = segment;
    this.#standing = new StandingPlace(segment);
    this.schema = schema;
    this.incarnation = segment.incarnation;
    this.isSole = segment.access === "own";
    this.#shadow = this.isSole ? null : new Shadow(segment, schema);
    this.published = this.#shadow ?? this;
    this.#lease = new Lease(
      (offset, bytes) => segment.touch(offset, bytes),
      false,
      isStrict ? (offset, bytes) => segment.lend(offset, bytes) : null,
    );
    this.#working = segment.isWriter ? this.#arrays("working", this.#lease, isUsers) : new Map();
    this.#live = this.#arrays(
      "committed",
      Lease.readOnly((offset, bytes) => segment.overlay(offset, bytes)),
    );
    this.#transaction = new WriteTransaction(this.#working, this);
    this.#othersMeta = this.metaJson().slice();
    this.stamping =
      clock && segment.isWriter && isStamped(schema) ? new Stamping(schema, segment, clock) : null;
  }

  /** Private memory of this process. */
  static createPrivate(schema: Schema, clock: HybridClock | null = null): Storage {
    return new Storage(Segment.createPrivate(segmentSpec(schema)), schema, clock);
  }

  /** A named segment that other processes can attach. Takes over what dead writers left, if it holds the same arrays. */
  static createShared(
    name: string,
    schema: Schema,
    options: CreateOptions,
    clock: HybridClock | null = null,
  ): Storage {
    const check = (actual: Schema) => contentDifference(schema, actual);
    return Storage.#open(Segment.create(name, segmentSpec(schema), options), check, clock);
  }

  /** An existing segment, if `check` has no objection: SCHEMA_MISMATCH names the first difference. */
  static attach(
    nameOrPath: string,
    options: { mode?: "r" | "rw"; check?: SchemaCheck | undefined } & SegmentOptions,
    clock: HybridClock | null = null,
  ): Storage {
    return Storage.#open(Segment.attach(nameOrPath, options), options.check, clock);
  }

  static #open(segment: Segment, check: SchemaCheck | undefined, clock: HybridClock | null): Storage {
    try {
      const schema = schemaFromJson(segment.schemaText);
      if (schema.imageBytes !== segment.imageBytes || schema.metaOffset !== segment.metaOffset)
        fail("FORMAT", `Segment ${segment.name}: its schema does not fit its sizes`);
      const difference = check?.(schema);
      if (difference)
        fail("SCHEMA_MISMATCH", `Segment ${segment.name} holds something else: ${difference}`, {
          difference,
        });
      return new Storage(segment, schema, clock);
    } catch (error) {
      segment.close();
      throw error;
    }
  }

  #arrays(image: "working" | "committed", lease: Lease, isWanted = (_: ArraySchema) => true): Arrays {
    return new Map(
      this.schema.arrays.filter(isWanted).map((array) => {
        const buffer = this.segment.buffer(image, array.offset, array.bytes);
        return [array.name, NdArray.over(array, buffer, lease, array.offset)];
      }),
    );
  }

  /**
   * From now on these bytes, and no others, are what servers write: a write of our own, or of another process, must leave them as they are.
   * @throws EXISTS where another process follows servers into any of them; then none are
   */
  follow(runs: Runs): void {
    this.#followed = noRuns;
    const rival = this.segment.claim(runs);
    if (rival !== null) refuseClaim(this.schema, rival);
    this.#followed = runs;
  }

  get version(): number {
    return this.segment.version;
  }

  /** The version at the end of our own last transaction; beside other writers there may be newer ones. */
  get endedVersion(): number {
    return this.segment.endedVersion;
  }

  get isWriter(): boolean {
    return this.segment.isWriter;
  }

  /** A live read-only view of the committed image: it shows every commit at once, also the half of one in progress elsewhere. */
  live(name: string | null): NdArray {
    return pickArray(this.#live, name);
  }

  /** Runs `fn` in a transaction; what it throws undoes everything. Returns how many blocks changed. */
  write(fn: (main: NdArray, tx: Transaction) => unknown): number {
    this.begin();
    try {
      const result = fn(this.#working.get(null) as NdArray, this.#transaction);
      if (result instanceof Promise) {
        result.catch(() => {});
        fail(
          "ASYNC_CALLBACK",
          "A write callback cannot be async: others wait for it. Await first, then write",
        );
      }
      checkFollowed(this.schema, this.segment, this.#followed);
    } catch (error) {
      this.rollback();
      throw error;
    }
    const setsMeta = this.#setsMeta;
    const blocks = this.#commit(this.stamping);
    this.#ownsMeta ||= setsMeta;
    return blocks;
  }

  begin(): void {
    this.#standing.clear();
    this.segment.begin();
    this.#inWrite = true;
    this.#lease.open = true;
  }

  /** A transaction that stays open between jobs, until somebody else wants to write: {@link StandingPlace}. Null beside other writers. */
  stand(giveWay: () => void): Standing | null {
    return this.isSole ? this.#standing.open(giveWay) : null;
  }

  /** Commits what came from elsewhere, in a mesh with its stamps. */
  commit(): number {
    const serversMeta = this.#serversMeta;
    const blocks = this.#commit(null);
    if (serversMeta) this.#othersMeta = serversMeta;
    return blocks;
  }

  #commit(stamping: Stamping | null): number {
    try {
      stamping?.stamp();
      this.beforeCommit?.(() => this.segment.touchedRuns());
    } catch (error) {
      this.rollback();
      throw error;
    }
    this.#end();
    return this.segment.commit();
  }

  rollback(): void {
    this.#end();
    this.segment.rollback();
  }

  #end(): void {
    this.#inWrite = false;
    this.#setsMeta = false;
    this.#serversMeta = null;
    this.#lease.open = false;
  }

  /** Whether it has stamps and makes none: what it holds belongs to a mesh. */
  get #isRelay(): boolean {
    return this.stamping === null && isStamped(this.schema);
  }

  get inWrite(): boolean {
    return this.#inWrite;
  }

  /** Replaces the metadata of the transaction; undefined takes it away. INVALID_META: not JSON, or too long. */
  setMeta(value: unknown): void {
    if (!this.#inWrite) fail("NOT_IN_WRITE", "Metadata belongs to a version: set it inside write()");
    if (this.#isRelay)
      fail(
        "FOLLOWED",
        "write(): this node passes on a mesh, whose metadata have stamps: set them in the mesh",
      );
    this.segment.touch(this.schema.metaOffset, writeMeta(this.#metaRecord("working"), value));
    this.#setsMeta = true;
  }

  /** The same with JSON text as it comes from a peer. FORMAT, INVALID_META. */
  setMetaJson(text: Uint8Array): void {
    this.segment.touch(this.schema.metaOffset, writeMetaJson(this.#metaRecord("working"), text));
    this.#serversMeta = text.slice();
  }

  /** Whether the metadata were written here, or by another process of this segment: then those of servers do not replace them. */
  get ownsMeta(): boolean {
    if (!this.isSole) this.#ownsMeta ||= Buffer.compare(this.metaJson(), this.#othersMeta) !== 0;
    return this.#ownsMeta;
  }

  workingMeta(): unknown {
    return decodeMeta(this.#metaRecord("working"));
  }

  /** JSON text: a live view where nobody else writes, else a copy. */
  metaJson(): Uint8Array {
    if (this.isSole) return metaJson(this.#metaRecord("committed"));
    const record = new Uint8Array(this.schema.metaBytesMax);
    this.segment.snapshot(record, this.schema.metaOffset);
    return metaJson(record);
  }

  get meta(): unknown {
    return this.read((_, view) => view.meta);
  }

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
   * Calls `fn` with one version. Where this process alone writes it sees the committed image itself, at no cost; beside other writers
   * a copy, brought forward by what changed since the read before. Either way the arrays are for the callback only: copy what should
   * outlive it.
   */
  read<R>(fn: (main: NdArray, view: View) => R): R {
    const result = this.#shadow ? this.#readShadow(this.#shadow, fn) : this.#readCommitted(fn);
    if (!(result instanceof Promise)) return result;
    result.catch(() => {});
    return fail(
      "ASYNC_CALLBACK",
      "A read callback cannot be async: what it sees moves on. Copy what you need, then await",
    );
  }

  #readCommitted<R>(fn: (main: NdArray, view: View) => R): R {
    if (this.segment.name !== null) this.segment.checkWhole();
    const meta = () => decodeMeta(this.#metaRecord("committed"));
    return fn(this.#live.get(null) as NdArray, new ReadView(this.#live, this.version, meta));
  }

  #readShadow<R>(shadow: Shadow, fn: (main: NdArray, view: View) => R): R {
    shadow.advance();
    const arrays = (this.#shadowArrays ??= this.#arraysOver(shadow.bytes.buffer));
    const view = new ReadView(arrays, shadow.version, () => decodeMeta(shadow.metaRecord));
    return shadow.hold(() => fn(arrays.get(null) as NdArray, view));
  }

  #arraysOver(image: ArrayBuffer): Arrays {
    const lease = Lease.readOnly();
    return new Map(
      this.schema.arrays.map((array) => [array.name, NdArray.over(array, image, lease)] as const),
    );
  }

  /** A private copy of one array at one version. */
  snapshot(name: string | null): { version: number; array: NdArray } {
    const schema = arrayOf(this.schema, name);
    const bytes = new Uint8Array(schema.bytes);
    const version = this.segment.snapshot(bytes, schema.offset);
    return { version, array: NdArray.over(schema, bytes.buffer, Lease.readOnly(), schema.offset) };
  }

  changedSince(version: number, clip: Runs | null = null, exactly = false): { version: number; runs: Runs } {
    return this.segment.changedSince(version, clip, exactly);
  }

  gather(runs: Runs, into: Uint8Array): void {
    this.segment.gather(runs, into);
  }

  /** Our own commits are what moves it. */
  advance(): void {}

  /** See Node.verify. */
  verify(): Verification {
    this.#standing.clear();
    return verification(this.segment.verify(), this.schema);
  }

  close(): void {
    try {
      this.#standing.close();
    } finally {
      this.segment.close();
    }
  }

  [Symbol.dispose](): void {
    this.close();
  }
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

function isUsers({ name }: ArraySchema): boolean {
  return !isCompanion(name);
}

function segmentSpec(schema: Schema) {
  return { schemaText: schemaToJson(schema), imageBytes: schema.imageBytes, metaOffset: schema.metaOffset };
}
