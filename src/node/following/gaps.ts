import type { Delta } from "../../protocol/assembly.ts";
import type { SubscribeMessage } from "../../protocol/messages.ts";
import type { Conflation } from "../runtime/events.ts";

type Cause = Conflation["cause"];

/** Of one subscription: in the mode "every", versions that were not seen one by one are to be told of. */
export class Gaps {
  readonly #mode: SubscribeMessage["mode"];
  /** Why the next delta may hold several commits; null: it may not. */
  #cause: Cause | null = null;

  constructor(mode: SubscribeMessage["mode"]) {
    this.#mode = mode;
  }

  /** A restart is told of, whatever else happens until the new state comes. */
  expect(cause: Cause): void {
    if (this.#cause !== "restart") this.#cause = cause;
  }

  /** It takes the place of another subscription, which has not told of a restart yet. */
  takeOver(other: Gaps): void {
    if (other.#cause === "restart") this.expect("restart");
  }

  /** Nothing was missed. */
  expectNone(): void {
    this.#cause = null;
  }

  /** What to tell of a delta that was applied to `from`, null where there was no state of this incarnation; null: of nothing. */
  after(from: number | null, delta: Delta): Omit<Conflation, "source"> | null {
    const version = delta.to;
    // While something is mended, deltas do not agree, or do by chance, as often as they come; the repair has all that was committed.
    const isMending = delta.repair || (!delta.full && delta.from !== from);
    const cause = this.#cause ?? (isMending ? "mismatch" : null);
    this.#cause = null;
    if (cause === "restart" && this.#mode === "every") return { from: 0, version, cause };
    if (cause === null || this.#mode !== "every" || from === null || version - from <= 1) return null;
    return { from, version, cause };
  }
}
