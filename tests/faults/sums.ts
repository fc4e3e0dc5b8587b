import { join } from "node:path";
import { Segment } from "../../src/memory/segment.ts";
import type { Trial } from "./fault.ts";

/**
 * The oracle of children/write_sums.ts: f64 cells of which the first has the sum of all from the third on, and the second the
 * version. Looks at snapshots, and holds the changes between two of them against what changedSince names.
 */
export class SumReader {
  readonly #trial: Trial;
  readonly #path: string;
  #segment: Segment;
  #cells: Float64Array<ArrayBuffer>;
  #before: Float64Array<ArrayBuffer>;
  /** Of the newest snapshot. */
  version = 0;

  constructor(trial: Trial, name: string) {
    this.#trial = trial;
    this.#path = join(trial.folder, name);
    this.#segment = Segment.attach(this.#path);
    this.#cells = new Float64Array(this.#segment.imageBytes / 8);
    this.#before = new Float64Array(this.#cells.length);
  }

  get segment(): Segment {
    return this.#segment;
  }

  /** Takes a snapshot and checks it. Returns how long that took, in milliseconds. */
  look(when: string): number {
    const since = this.version;
    [this.#before, this.#cells] = [this.#cells, this.#before];
    const start = performance.now();
    this.version = this.#segment.snapshot(new Uint8Array(this.#cells.buffer));
    const took = performance.now() - start;
    if (this.version < since) this.#trial.violate(`${when}: version ${this.version} after ${since}`);
    if (this.version > 0) this.#checkSum(when);
    this.#checkDelta(since, when);
    return took;
  }

  #checkSum(when: string): void {
    const cells = this.#cells.subarray(0, sumCells);
    let sum = 0;
    for (let i = 2; i < cells.length; i++) sum += cells[i]!;
    if (cells[0] !== sum || cells[1] !== this.version)
      this.#trial.violate(`${when}: version ${this.version} holds cells of other versions`);
  }

  #checkDelta(since: number, when: string): void {
    const { version, runs } = this.#segment.changedSince(since);
    if (version < this.version)
      this.#trial.violate(`${when}: changedSince leads to ${version}, not to ${this.version}`);
    const [before, now] = [this.#before, this.#cells].map((cells) => new Uint8Array(cells.buffer));
    for (let i = 0; i < runs.length; i += 2) {
      const end = runs[i]! + runs[i + 1]!;
      before!.set(now!.subarray(runs[i]!, end), runs[i]!);
    }
    if (Buffer.compare(before!, now!) !== 0)
      this.#trial.violate(`${when}: the delta from ${since} to ${this.version} lacks a change`);
  }

  /** Becomes the writer, which recovers what the last one left, and looks once more. */
  takeOver(): void {
    const writer = Segment.attach(this.#path, { mode: "rw" });
    this.#segment.close();
    this.#segment = writer;
    this.look("after recovery");
    const [working, committed] = (["working", "committed"] as const).map(
      (image) => new Uint8Array(writer.buffer(image, 0, writer.imageBytes)),
    );
    if (Buffer.compare(working!, committed!) !== 0) this.#trial.violate("after recovery: the images differ");
  }

  close(): void {
    this.#segment.close();
  }
}

/** How many cells the children's array has. */
export const sumCells = 4096;
