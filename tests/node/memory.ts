import { makeSchema } from "../../src/array/schema.ts";
import { intersect, type Runs } from "../../src/delta/runs.ts";
import type { Published } from "../../src/node/storage/shadow.ts";

/** An image whose bytes are all of one version, and are written by the block. */
export class Memory implements Published {
  readonly bytes: number;
  readonly schema;
  readonly incarnation = "1".repeat(32);
  readonly isSole = true;
  version = 1;
  beforeCommit: Published["beforeCommit"] = null;
  readonly #changes: { version: number; runs: Runs }[] = [];

  constructor(bytes: number) {
    this.bytes = bytes;
    this.schema = makeSchema([{ name: null, dtype: "u8", shape: [bytes] }], 64);
  }

  write(offset = 0, bytes = this.bytes): void {
    const runs = Float64Array.of(offset, bytes) as Runs;
    this.beforeCommit!(() => runs);
    this.#changes.push({ version: ++this.version, runs });
  }

  changedSince(version: number, clip: Runs | null = null) {
    const last = this.#changes.findLast((change) => change.version > version)?.runs;
    const runs = last ?? (new Float64Array(0) as Runs);
    return { version: this.version, runs: clip ? intersect(runs, clip) : runs };
  }

  isMetaNewer(): boolean {
    return false;
  }

  metaJson(): Uint8Array {
    return new Uint8Array(0);
  }

  gather(_: Runs, into: Uint8Array): void {
    into.fill(this.version);
  }

  advance(): void {}
}
