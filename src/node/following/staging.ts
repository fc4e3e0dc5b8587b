import { noRuns, type Runs, union } from "../../delta/runs.ts";
import type { Storage } from "../storage/storage.ts";
import { Image } from "./image.ts";

/**
 * One peer of a mesh as it is, in private memory: a replica like any other, verified and repaired in the same way. With each of its
 * commits, what the peer wrote later than anybody else goes on into the node's own memory, in one transaction there.
 */
export class Staging extends Image {
  readonly #storage: Storage;
  /** Where elements were left because they claim to be written in the future. */
  #left: Runs = noRuns;

  constructor(storage: Storage) {
    super(storage.schema);
    this.#storage = storage;
  }

  /** Whether there is something of the peer that is not believed yet. */
  get hasLeft(): boolean {
    return this.#left.length > 0;
  }

  /** Both or neither: a delta that our own memory does not take (LOCKED) is asked for again. Returns how many of our blocks changed. */
  override commit(): number {
    let blocks: number;
    try {
      blocks = this.#merge(union(this.writtenRuns(), this.#left));
    } catch (error) {
      this.rollback();
      throw error;
    }
    super.commit();
    return blocks;
  }

  /** Looks again at what was left. Returns how many of our blocks changed. @throws LOCKED */
  takeLeft(): number {
    return this.hasLeft ? this.#merge(this.#left) : 0;
  }

  #merge(runs: Runs): number {
    const storage = this.#storage;
    const stamping = storage.stamping!;
    storage.begin();
    let hasLeft: boolean;
    try {
      hasLeft = stamping.merge(this.buffer, runs);
      const text = this.workingMetaJson();
      const meta = stamping.mergeMeta(this.buffer, text, storage.metaJson());
      if (meta === "take") storage.setMetaJson(text);
      hasLeft ||= meta === "leave";
    } catch (error) {
      storage.rollback();
      throw error;
    }
    const blocks = storage.commit();
    this.#left = hasLeft ? runs : noRuns;
    return blocks;
  }
}
