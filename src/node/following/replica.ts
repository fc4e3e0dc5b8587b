import { parseMeta } from "../../array/meta.ts";
import type { Mapping } from "../../delta/mapping.ts";
import type { LeafHasher } from "../../integrity/merkle.ts";
import type { Delta } from "../../protocol/assembly.ts";
import type { DeltaChunk, DeltaHead } from "../../protocol/part.ts";
import { Update } from "../runtime/update.ts";
import { Arrival, type ArrivalMemory } from "./arrival.ts";
import { Mirror, type MirroredMemory } from "./mirror.ts";

/** What became of a delta. After a mismatch nothing of it is left, and the leaf hashes are of what is there when they are asked for. */
export type Applied =
  | { readonly kind: "ok"; readonly update: Update }
  | { readonly kind: "mismatch"; readonly leafHashes: () => Uint8Array };

/** The memory that a replica lives in: a node's storage, or a browser's. */
export interface ReplicaMemory extends MirroredMemory, ArrivalMemory {
  /** Metadata of the newest commit as JSON text; empty where there is none. It may be a live view. */
  metaJson(): Uint8Array;
  /** Whether a server's metadata are not to replace those that are here. */
  readonly ownsMeta?: boolean;
  /** How many blocks changed; 0: none, and no version was made. */
  commit(): number;
  rollback(): void;
  /** Looks again at what a commit could not take over yet; the same result. */
  takeLeft?(): number;
  setMetaJson(text: Uint8Array): void;
  readonly segment: MirroredMemory["segment"] & ArrivalMemory["segment"];
}

/** Memory that shows what a replica did. */
export type ShownMemory = Pick<ReplicaMemory, "schema" | "version" | "changedSince" | "metaJson">;

export interface ReplicaOptions {
  /** With one, every delta is verified by its root. */
  readonly hasher: LeafHasher | null;
  /** What updates tell of, where it is not the replica's own memory. */
  readonly shown?: ShownMemory;
  /** Whether the server's metadata become those of the memory. */
  readonly takesMeta?: boolean;
  /** Whether the absence of metadata means something from the beginning on. */
  readonly hasMeta?: boolean;
}

/** The bytes of one server in this node's memory, and the version they are of. */
export class Replica {
  readonly mapping: Mapping;
  readonly #source: string;
  readonly #storage: ReplicaMemory;
  readonly #shown: ShownMemory;
  readonly #mirror: Mirror | null;
  readonly #arrival: Arrival;
  #version = 0;
  /** Whether the bytes are the server's at {@link Replica.version}, which may be 0. */
  hasState = false;
  /** The source's metadata at that version, as JSON text. */
  #meta: Uint8Array = new Uint8Array(0);
  /** This server has had metadata: only then can its absence mean that it took it away. */
  #hasMeta: boolean;
  readonly #takesMeta: boolean;

  constructor(source: string, storage: ReplicaMemory, mapping: Mapping, options: ReplicaOptions) {
    const { hasher, shown = storage, takesMeta = true, hasMeta = false } = options;
    this.#source = source;
    this.#storage = storage;
    this.#shown = shown;
    this.#takesMeta = takesMeta;
    this.#hasMeta = hasMeta;
    this.mapping = mapping;
    this.#arrival = new Arrival(source, storage, mapping);
    this.#mirror = hasher ? new Mirror(storage, mapping, hasher) : null;
  }

  /** The server's version that the bytes are of. */
  get version(): number {
    return this.#version;
  }

  /** Versions of another incarnation cannot be compared with what comes. */
  forgetVersion(): void {
    this.#version = 0;
    this.hasState = false;
  }

  /** Bytes that are kept of a delta whose last part has not come. */
  get keptBytes(): number {
    return this.#arrival.keptBytes;
  }

  /** A part of a delta, but not its last; the first has the head. As {@link Arrival.add}. */
  take(chunks: readonly DeltaChunk[], head: DeltaHead | undefined): void {
    try {
      this.#arrival.add(chunks, head);
    } catch (error) {
      this.#arrival.drop();
      throw error;
    }
  }

  /** What was taken is of no use: its last part will not come. */
  dropParts(): void {
    this.#arrival.drop();
  }

  /** One delta is one commit here: whole, or nothing of it. */
  apply(delta: Delta): Applied {
    const storage = this.#storage;
    const from = this.#shown.version;
    this.#arrival.begin(delta);
    let agrees: boolean;
    try {
      const runs = this.#arrival.complete(delta);
      if (delta.meta) this.#writeMeta(delta.meta);
      agrees = this.#mirror === null || sameBytes(this.#mirror.rootWith(runs), delta.root);
    } catch (error) {
      storage.rollback();
      throw error;
    }
    if (!agrees) {
      storage.rollback();
      return { kind: "mismatch", leafHashes: () => this.#mirror!.leafHashes() };
    }
    const isChanged = storage.commit() > 0;
    this.#mirror?.accept();
    if (delta.meta) this.#meta = delta.meta.slice();
    this.#version = delta.to;
    this.hasState = true;
    return { kind: "ok", update: this.#update(from, isChanged, delta) };
  }

  /** Looks again at what could not be taken over yet; null where it still cannot. @throws LOCKED */
  takeLeft(): Update | null {
    const from = this.#shown.version;
    return this.#storage.takeLeft?.() ? this.#update(from, true, { full: false }) : null;
  }

  #update(from: number, isChanged: boolean, { full }: Pick<Delta, "full">): Update {
    const shown = this.#shown;
    const { version, runs } = isChanged
      ? shown.changedSince(from)
      : { version: from, runs: new Float64Array(0) };
    const facts = { source: this.#source, from, version, sourceVersion: this.#version, full };
    const meta = shown === this.#storage ? this.#meta : shown.metaJson().slice(); // as it is now, whatever comes before somebody asks
    return new Update(facts, shown.schema, runs, () => parseMeta(meta));
  }

  #writeMeta(text: Uint8Array): void {
    this.#hasMeta ||= text.byteLength > 0;
    if (this.#takesMeta && this.#hasMeta && !this.#storage.ownsMeta) this.#storage.setMetaJson(text);
  }
}

function sameBytes(a: Uint8Array, b: Uint8Array | undefined): boolean {
  return b !== undefined && a.length === b.length && a.every((byte, i) => byte === b[i]);
}
