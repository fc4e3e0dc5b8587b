import type { Delta } from "../protocol/assembly.ts";
import type { SubscribeMessage } from "../protocol/messages.ts";
import type { Conflation } from "./events.ts";

type Cause = Conflation["cause"];

/** Of one subscription: in the mode "every", versions that were not seen one by one are to be told of. */
export class Gaps {
  readonly #mode: SubscribeMessage["mode"];
  /** Why the next delta may hold several commits; null: it may not. */
  #cause: Cause | null = null;

  constructor(mode: SubscribeMessage["mode"]) {
    this.#mode = mode;
  }

  expect(cause: Cause): void {
    this.#cause = cause;
  }

  /** Nothing was missed. */
  expectNone(): void {
    this.#cause = null;
  }

  /** What to tell of a delta that was applied to `from`; null: of nothing, or `from` is null because there was no state before. */
  after(from: number | null, { to: version, ...delta }: Delta): Omit<Conflation, "source"> | null {
    // While something is mended, deltas do not agree, or do by chance, as often as they come; the repair has all that was committed.
    const isMending = delta.repair || (!delta.full && delta.from !== from);
    const cause = this.#cause ?? (isMending ? "mismatch" : null);
    this.#cause = null;
    if (cause === null || this.#mode !== "every" || from === null || version - from <= 1) return null;
    return { from, version, cause };
  }
}
