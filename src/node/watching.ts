import { Doorbell } from "../memory/notify.ts";
import type { Storage } from "./storage.ts";
import { Update } from "./update.ts";

/** Turns commits that other processes make to an attached segment into updates. Asleep while nobody wants them, and while none come. */
export class Watching {
  readonly #name: string;
  readonly #storage: Storage;
  readonly #onUpdate: (update: Update) => void;
  #bell: Promise<Doorbell> | null = null;
  #version: number;
  #isClosed = false;

  constructor(name: string, storage: Storage, onUpdate: (update: Update) => void) {
    this.#name = name;
    this.#storage = storage;
    this.#onUpdate = onUpdate;
    this.#version = storage.version;
  }

  /** Starts to wait; a second call is nothing. */
  async open(): Promise<void> {
    this.#bell ??= Doorbell.open(this.#storage.segment, () => this.#look());
    await this.#bell;
    if (!this.#isClosed) this.#look(); // commits between attaching and now
  }

  #look(): void {
    if (this.#isClosed) return;
    const from = this.#version;
    const { version, runs } = this.#storage.changedSince(from);
    if (version === from) return;
    this.#version = version;
    const facts = { source: this.#name, from, version, sourceVersion: version, full: false };
    this.#onUpdate(new Update(facts, this.#storage.schema, runs, () => this.#storage.meta));
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    (await this.#bell)?.close();
  }
}
