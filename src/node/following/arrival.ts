import type { Mapping } from "../../delta/mapping.ts";
import { Pieces } from "../../delta/pieces.ts";
import { RunBuilder, type Runs } from "../../delta/runs.ts";
import { fail } from "../../errors.ts";
import type { Delta } from "../../protocol/assembly.ts";
import type { DeltaChunk, DeltaHead } from "../../protocol/part.ts";
import type { Standing } from "../storage/standing.ts";
import { KeptParts } from "./kept_parts.ts";

/** Deltas of so many bytes are written as they arrive: below that, keeping them costs less than opening the transaction early. */
export const standingBytesMin = 65_536;

/** A part of more runs is kept: to take what is scattered so out of memory again would hold up who wants to write. */
const runsMax = 512;

/** What an arrival needs of the memory that it is written to. */
export interface ArrivalMemory {
  begin(): void;
  /** A transaction that stays open between jobs; null where others may want the next one. */
  stand?(giveWay: () => void): Standing | null;
  readonly segment: {
    /** Copies `data` to the triples offset, position in `data`, length of the image that is being written. */
    scatter(data: Uint8Array, triples: Float64Array): void;
    gather(runs: Runs, into: Uint8Array, image?: "working" | "committed"): void;
  };
}

/** Where the part at hand belongs. */
const placed = new Pieces();

type State =
  /** All that came is kept for the end. */
  | { readonly kind: "kept"; readonly kept: KeptParts }
  /** All that came is written already, in a transaction that stands open. Of each part, the pieces. */
  | { readonly kind: "written"; readonly standing: Standing; readonly written: Float64Array<ArrayBuffer>[] };

/**
 * A delta that comes in parts. A large one is written where it belongs while its parts arrive, which saves the memory to keep them and
 * the time to touch it twice; its transaction stands open until the last one. As soon as somebody else wants to write, what has come is
 * taken out again, and kept like that of a small one.
 */
export class Arrival {
  readonly #source: string;
  readonly #memory: ArrivalMemory;
  readonly #mapping: Mapping;
  #state: State = { kind: "kept", kept: new KeptParts() };
  /** The source's runs that came. */
  #runs = new RunBuilder();
  #parts = 0;

  constructor(source: string, memory: ArrivalMemory, mapping: Mapping) {
    this.#source = source;
    this.#memory = memory;
    this.#mapping = mapping;
  }

  /** Memory that what is kept keeps alive. */
  get keptBytes(): number {
    return this.#state.kind === "written" ? 0 : this.#state.kept.bytes;
  }

  /** One part that is not the last; the first has the head. */
  add(chunks: readonly DeltaChunk[], head: DeltaHead | undefined): void {
    if (head) this.#start(head.totalBytes);
    this.#parts++;
    for (const chunk of chunks) this.#take(chunk);
  }

  #start(totalBytes: number): void {
    this.drop();
    const standing = totalBytes < standingBytesMin ? null : this.#memory.stand?.(() => this.#giveWay());
    if (standing) this.#state = { kind: "written", standing, written: [] };
  }

  #take({ runs, data }: DeltaChunk): void {
    if (runs.length / 2 > runsMax) this.#giveWay();
    const pieces = this.#placed(runs);
    if (this.#state.kind === "kept") return this.#state.kept.add(pieces.slice(), data);
    this.#memory.segment.scatter(data, pieces);
    this.#state.written.push(pieces.slice());
  }

  /** Where the bytes of these runs belong; valid until the next call. */
  #placed(runs: Float64Array): Float64Array<ArrayBuffer> {
    placed.clear();
    let at = 0;
    for (let i = 0; i < runs.length; i += 2) {
      if (!this.#mapping.pieces(runs[i]!, runs[i + 1]!, placed, at))
        fail("PROTOCOL", `Bytes ${runs[i]} of ${this.#source} were never asked for`);
      this.#runs.add(runs[i]!, runs[i + 1]!);
      at += runs[i + 1]!;
    }
    return placed.data;
  }

  #giveWay(): void {
    if (this.#state.kind === "kept") return;
    const { standing, written } = this.#state;
    const kept = new KeptParts();
    for (const pieces of written) this.#takeOut(pieces, kept);
    standing.rollback();
    this.#state = { kind: "kept", kept };
  }

  #takeOut(written: Float64Array<ArrayBuffer>, kept: KeptParts): void {
    const runs = new Float64Array((written.length / 3) * 2);
    const pieces = written.slice();
    let at = 0;
    for (let i = 0; i < pieces.length; i += 3) {
      runs.set([pieces[i]!, pieces[i + 2]!], (i / 3) * 2);
      pieces[i + 1] = at;
      at += pieces[i + 2]!;
    }
    const data = new Uint8Array(at);
    this.#memory.segment.gather(runs, data, "working");
    kept.add(pieces, data);
  }

  /** Opens the transaction for all of it, unless it stands open. What follows is an ordinary one. */
  begin({ partsBefore }: Delta): void {
    if (partsBefore === 0) this.drop();
    if (partsBefore !== this.#parts)
      fail("PROTOCOL", `${this.#parts} of ${partsBefore} parts of a delta of ${this.#source} were kept`);
    if (this.#state.kind === "written") this.#state.standing.settle();
    else this.#memory.begin();
  }

  /** Inside of it: writes all that is not written yet. Gives the runs of the source that were. */
  complete({ chunks }: Delta): Runs {
    if (this.#state.kind === "kept")
      for (const { pieces, data } of this.#state.kept) this.#memory.segment.scatter(data, pieces);
    for (const { runs, data } of chunks) this.#memory.segment.scatter(data, this.#placed(runs));
    const runs = this.#runs.finish();
    this.#forget();
    return runs;
  }

  /** The last part will not come. */
  drop(): void {
    const state = this.#state;
    this.#forget();
    if (state.kind === "written") state.standing.rollback();
  }

  #forget(): void {
    this.#state = { kind: "kept", kept: new KeptParts() };
    this.#runs = new RunBuilder();
    this.#parts = 0;
  }
}
