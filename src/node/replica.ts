import { parseMeta } from "../array/meta.ts";
import type { Mapping } from "../delta/mapping.ts";
import { Pieces } from "../delta/pieces.ts";
import { normalise, type Runs } from "../delta/runs.ts";
import { fail } from "../errors.ts";
import type { Delta } from "../protocol/assembly.ts";
import { Mirror } from "./mirror.ts";
import type { Storage } from "./storage.ts";
import { Update } from "./update.ts";

/** What became of a delta. After a mismatch nothing of it is left, and the leaf hashes are of what is there. */
export type Applied =
  | { readonly kind: "ok"; readonly update: Update }
  | { readonly kind: "mismatch"; readonly leafHashes: Uint8Array };

/** The bytes of one server in this node's memory, and the version they are of. */
export class Replica {
  readonly mapping: Mapping;
  readonly #source: string;
  readonly #storage: Storage;
  readonly #mirror: Mirror | null;
  #version = 0;

  constructor(source: string, storage: Storage, mapping: Mapping, verify: boolean) {
    this.#source = source;
    this.#storage = storage;
    this.mapping = mapping;
    this.#mirror = verify ? new Mirror(storage, mapping) : null;
  }

  /** The server's version that the bytes are of. */
  get version(): number {
    return this.#version;
  }

  /** Versions of another incarnation cannot be compared with what comes. */
  forgetVersion(): void {
    this.#version = 0;
  }

  /** One delta is one commit here: whole, or nothing of it. */
  apply(delta: Delta): Applied {
    const storage = this.#storage;
    const from = storage.version;
    storage.begin();
    let agrees: boolean;
    try {
      this.#write(delta);
      if (delta.meta) storage.setMetaJson(delta.meta);
      agrees = this.#mirror === null || sameBytes(this.#mirror.rootWith(sourceRuns(delta)), delta.root);
    } catch (error) {
      storage.rollback();
      throw error;
    }
    if (!agrees) {
      storage.rollback();
      return { kind: "mismatch", leafHashes: this.#mirror!.leafHashes() };
    }
    const isChanged = storage.commit() > 0;
    this.#mirror?.accept();
    this.#version = delta.to;
    return { kind: "ok", update: this.#update(delta, from, isChanged) };
  }

  #update(delta: Delta, from: number, isChanged: boolean): Update {
    const { version, runs } = isChanged
      ? this.#storage.changedSince(from)
      : { version: from, runs: new Float64Array(0) };
    const facts = { source: this.#source, from, version, sourceVersion: delta.to, full: delta.full };
    const { meta } = delta;
    return new Update(facts, this.#storage.schema, runs, () => (meta ? parseMeta(meta) : this.#storage.meta));
  }

  #write(delta: Delta): void {
    const pieces = new Pieces();
    for (const { runs, data } of delta.chunks) {
      pieces.clear();
      let at = 0;
      for (let i = 0; i < runs.length; i += 2) {
        if (!this.mapping.pieces(runs[i]!, runs[i + 1]!, pieces, at))
          fail("PROTOCOL", `Bytes ${runs[i]} of ${this.#source} were never asked for`);
        at += runs[i + 1]!;
      }
      this.#storage.segment.scatter(data, pieces.data);
    }
  }
}

function sourceRuns(delta: Delta): Runs {
  return normalise(delta.chunks.flatMap((chunk) => [...chunk.runs]));
}

function sameBytes(a: Uint8Array, b: Uint8Array | undefined): boolean {
  return b !== undefined && Buffer.compare(a, b) === 0;
}
