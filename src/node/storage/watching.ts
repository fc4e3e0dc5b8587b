import { parseMeta } from "../../array/meta.ts";
import { MemblastError } from "../../errors.ts";
import { Doorbell } from "../../memory/notify.ts";
import { Update } from "../runtime/update.ts";
import type { Storage } from "./storage.ts";

/** What a watching tells its node. */
export interface WatchingOwner {
  onUpdate(update: Update): void;
  onError(error: MemblastError): void;
}

/** Turns commits that other processes make to a shared segment into updates. Asleep while nobody wants them, and while none come. */
export class Watching {
  readonly #name: string;
  readonly #storage: Storage;
  readonly #owner: WatchingOwner;
  #bell: Promise<Doorbell> | null = null;
  /** Everything up to here was reported, or is our own. */
  #version: number;
  #isClosed = false;

  constructor(name: string, storage: Storage, owner: WatchingOwner) {
    this.#name = name;
    this.#storage = storage;
    this.#owner = owner;
    this.#version = storage.version;
  }

  /** Starts to wait; a second call is nothing. */
  async open(): Promise<void> {
    this.#bell ??= Doorbell.open(this.#storage.segment, () => this.#look());
    await this.#bell.catch((error) => {
      this.#bell = null; // the next who wants to know tries again
      throw error;
    });
    if (!this.#isClosed) this.#look(); // commits between attaching and now
  }

  /** We know ourselves what happened between these versions. If others wrote before, their update will have it in it. */
  passOver(from: number, version: number): void {
    if (from <= this.#version && version > this.#version) this.#version = version;
  }

  #look(): void {
    if (this.#isClosed) return;
    try {
      const update = this.#news();
      if (update) this.#owner.onUpdate(update);
    } catch (error) {
      if (!(error instanceof MemblastError)) throw error;
      this.#owner.onError(error);
    }
  }

  #news(): Update | null {
    this.#storage.segment.checkFile();
    const from = this.#version;
    const { version, runs } = this.#storage.changedSince(from);
    if (version === from) return null;
    this.#version = version;
    const facts = { source: this.#name, from, version, sourceVersion: version, full: false };
    const meta = this.#storage.metaJson().slice(); // of this version, or of one that has come meanwhile
    return new Update(facts, this.#storage.schema, runs, () => parseMeta(meta));
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    (await this.#bell?.catch(() => null))?.close();
  }
}
