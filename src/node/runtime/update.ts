import { isCompanion } from "../../array/companion.ts";
import { dtypeBytes } from "../../array/dtype.ts";
import { type ArraySchema, type Schema } from "../../array/schema.ts";
import type { Region } from "../../delta/region.ts";
import { firstEndingAfter, type Runs, union } from "../../delta/runs.ts";

/** One step forward of a node's memory that was not made by its own `write`. */
export class Update {
  /** Whose change it is: the address of the server it came from, or the segment's name where another process wrote it. */
  readonly source: string;
  /** Several where updates were merged for a slow consumer; `source` and `sourceVersion` are those of the last. */
  readonly sources: readonly string[];
  /** This node's version before and after. */
  readonly from: number;
  readonly version: number;
  /** The source's version that this node now has. */
  readonly sourceVersion: number;
  /** Everything subscribed was sent, because this node had nothing that could be built on. */
  readonly full: boolean;
  readonly #runs: Runs;
  readonly #schema: Schema;
  readonly #meta: () => unknown;

  constructor(
    facts: Pick<Update, "source" | "from" | "version" | "sourceVersion" | "full"> &
      Partial<Pick<Update, "sources">>,
    schema: Schema,
    runs: Runs,
    meta: () => unknown,
  ) {
    this.source = facts.source;
    this.sources = facts.sources ?? [facts.source];
    this.from = facts.from;
    this.version = facts.version;
    this.sourceVersion = facts.sourceVersion;
    this.full = facts.full;
    this.#schema = schema;
    this.#runs = runs;
    this.#meta = meta;
  }

  /** The metadata of the source at that version, in a mesh of this node, parsed when asked for. */
  get meta(): unknown {
    return this.#meta();
  }

  /** Boxes that hold everything that changed, at the granularity of blocks (64 bytes and more): a few cells too many, never too few. */
  get regions(): Region[] {
    const arrays = this.#schema.arrays.filter((array) => !isCompanion(array.name));
    return arrays.flatMap((array) => changedRegions(array, this.#runs));
  }

  /** This update and a later one of the same node as one; for consumers that are slower than the source. */
  merge(later: Update): Update {
    return new Update(
      {
        source: later.source,
        sources: [...new Set([...this.sources, ...later.sources])],
        from: this.from,
        version: later.version,
        sourceVersion: later.sourceVersion,
        full: this.full || later.full,
      },
      this.#schema,
      union(this.#runs, later.#runs),
      later.#meta,
    );
  }
}

/** Byte runs of the image as boxes of one array: a stretch within a row, or whole rows. */
function changedRegions(array: ArraySchema, runs: Runs): Region[] {
  const regions: Region[] = [];
  const itemBytes = dtypeBytes(array.dtype);
  const end = array.offset + array.bytes;
  for (let i = firstEndingAfter(runs, array.offset, 0); i < runs.length && runs[i]! < end; i += 2) {
    const from = Math.max(runs[i]!, array.offset);
    const to = Math.min(runs[i]! + runs[i + 1]!, end);
    const first = Math.floor((from - array.offset) / itemBytes);
    const last = Math.ceil((to - array.offset) / itemBytes) - 1;
    regions.push(boxOf(array, first, last));
  }
  return regions;
}

/** The smallest box that holds elements `first` to `last` in C order. */
function boxOf(array: ArraySchema, first: number, last: number): Region {
  const start: number[] = [];
  const shape: number[] = [];
  let split = false;
  let stride = array.bytes / dtypeBytes(array.dtype);
  for (const dimension of array.shape) {
    stride /= dimension;
    const a: number = split ? 0 : Math.floor(first / stride) % dimension;
    const b: number = split ? dimension - 1 : Math.floor(last / stride) % dimension;
    start.push(a);
    shape.push(b - a + 1);
    split ||= a !== b;
  }
  return { array: array.name, start, shape };
}
