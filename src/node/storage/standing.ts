import type { Segment } from "../../memory/segment.ts";

/** A transaction that stays open between jobs. Whoever else wants to write ends it first. */
export interface Standing {
  /** From here to its commit or rollback, in the same job, it is one like any other. @throws TRUNCATED, STALE; then it is undone */
  settle(): void;
  /** Undoes it; nothing, where it has ended. */
  rollback(): void;
}

/** The standing transaction of a segment, of which there is one at most. */
export class StandingPlace {
  readonly #segment: Segment;
  #standing: (Standing & { giveWay(): void }) | null = null;

  constructor(segment: Segment) {
    this.#segment = segment;
  }

  /** Opens one. `giveWay` has to roll it back. */
  open(giveWay: () => void): Standing {
    this.clear();
    this.#segment.begin();
    const standing = {
      giveWay,
      settle: () => {
        this.#end(standing);
        this.#checkFile();
      },
      rollback: () => void (this.#end(standing) && this.#segment.rollback()),
    };
    this.#standing = standing;
    return standing;
  }

  /** It may have been removed in the meantime. */
  #checkFile(): void {
    try {
      this.#segment.checkFile();
    } catch (error) {
      this.#segment.rollback();
      throw error;
    }
  }

  #end(standing: Standing): boolean {
    if (this.#standing !== standing) return false;
    this.#standing = null;
    return true;
  }

  /** Somebody else wants to write. */
  clear(): void {
    this.#standing?.giveWay();
  }

  /** Nobody will write any more. */
  close(): void {
    this.#standing?.rollback();
  }
}
