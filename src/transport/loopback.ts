import { asError, linkClosed } from "./failure.ts";
import { Flight, type Scheduler, type Wire } from "./flight.ts";
import { defaultCloseTimeoutMs, type Link, type LinkHandler, type LinkState } from "./link.ts";
import { Outbox } from "./outbox.ts";

export interface LoopbackEnd {
  readonly handler: LinkHandler;
  readonly description: string;
  /** What the other end is called from here. */
  readonly remote: string;
  /** What this end sends goes over it. */
  readonly wire?: Wire;
  readonly closeTimeoutMs?: number;
}

/** Two joined links. `cut` breaks both at once; what was under way is lost. */
export interface LoopbackPair {
  readonly near: Link;
  readonly far: Link;
  cut(): void;
}

/**
 * Two links in memory whose bytes arrive with each other, as the scheduler runs. `onOpen` comes as its first two jobs,
 * the near one's first.
 */
export function loopbackPair(scheduler: Scheduler, near: LoopbackEnd, far: LoopbackEnd): LoopbackPair {
  const a = new LoopbackLink(scheduler, near);
  const b = new LoopbackLink(scheduler, far);
  a.join(b);
  b.join(a);
  const cut = () => {
    a.broken("it was cut");
    b.broken("it was cut");
  };
  a.open(cut);
  b.open(cut);
  return { near: a, far: b, cut };
}

class LoopbackLink implements Link {
  readonly description: string;
  readonly remote: string;
  readonly #scheduler: Scheduler;
  readonly #end: LoopbackEnd;
  readonly #flight: Flight;
  readonly #outbox: Outbox;
  #peer!: LoopbackLink;
  #state: LinkState = "open";
  #full = false;
  #drainDue = false;
  #paused = false;
  #cancelTimeout = () => {};

  constructor(scheduler: Scheduler, end: LoopbackEnd) {
    this.description = end.description;
    this.remote = end.remote;
    this.#scheduler = scheduler;
    this.#end = end;
    this.#flight = new Flight(scheduler, end.wire ?? {});
    this.#outbox = new Outbox((bytes, offset, length) => this.#flight.take(bytes, offset, length));
  }

  get state(): LinkState {
    return this.#state;
  }

  get queuedBytes(): number {
    return this.#outbox.bytes;
  }

  write(parts: readonly Uint8Array[]): boolean {
    if (this.#state !== "open") return false;
    this.#outbox.push(parts);
    if (!this.#full) this.#send();
    return !this.#full;
  }

  pause(): void {
    if (this.#state === "open") this.#paused = true;
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#peer.#flight.carry();
  }

  close(): void {
    if (this.#state !== "open") return;
    this.#state = "closing";
    this.resume();
    const limitMs = this.#end.closeTimeoutMs ?? defaultCloseTimeoutMs;
    this.#cancelTimeout = this.#scheduler.schedule(limitMs, () => this.#closeTimedOut(limitMs));
    if (!this.#full) this.#send();
  }

  abort(cause?: Error): void {
    if (this.#state === "closed") return;
    this.#finish(cause ?? linkClosed(this.description, "it was aborted on this side"));
    this.#flight.drop();
    this.#peer.broken("the other side aborted it");
  }

  // ---- what the pair and the other end report ----

  join(peer: LoopbackLink): void {
    this.#peer = peer;
  }

  open(cut: () => void): void {
    this.#flight.begin({
      isReady: () => !this.#peer.#paused,
      deliver: (bytes) => this.#peer.#received(bytes),
      deliverEnd: () => this.#peer.#peerEnded(),
      emptied: () => this.#roomAgain(),
      cut,
    });
    this.#scheduler.schedule(0, () => this.#report((handler) => handler.onOpen?.(this)));
  }

  broken(why: string): void {
    if (this.#state === "closed") return;
    this.#flight.drop();
    this.#finish(linkClosed(this.description, why, { unsentBytes: this.#outbox.bytes }));
  }

  #received(bytes: Uint8Array): void {
    if (this.#state === "open") this.#report((handler) => handler.onBytes(this, bytes));
  }

  #peerEnded(): void {
    if (this.#state === "closed") return;
    const unsentBytes = this.#outbox.bytes;
    this.#flight.end();
    if (unsentBytes === 0) return this.#finish();
    this.#finish(
      linkClosed(this.description, `the other side closed it with ${unsentBytes} bytes unsent`, {
        unsentBytes,
      }),
    );
  }

  // ----

  #send(): void {
    if (this.#outbox.flush() === "full") this.#full = true;
    else if (this.#state === "closing") this.#flight.end();
  }

  #roomAgain(): void {
    if (!this.#full || this.#drainDue) return;
    this.#drainDue = true;
    this.#scheduler.schedule(0, () => this.#drained());
  }

  #drained(): void {
    this.#drainDue = false;
    if (this.#state === "closed") return;
    this.#full = false;
    this.#send();
    if (!this.#full && this.#state === "open") this.#report((handler) => handler.onDrain?.(this));
  }

  #report(event: (handler: LinkHandler) => void): void {
    if (this.#state === "closed") return;
    try {
      event(this.#end.handler);
    } catch (thrown) {
      this.abort(asError(thrown));
    }
  }

  #closeTimedOut(limitMs: number): void {
    if (this.#state !== "closing") return;
    const unsentBytes = this.#outbox.bytes;
    const why = unsentBytes > 0 ? `${unsentBytes} bytes could not be sent` : "the other side did not close";
    const cause = linkClosed(this.description, `${why} within ${limitMs} ms`, { unsentBytes });
    if (unsentBytes > 0) this.abort(cause);
    else this.#finish(cause);
  }

  #finish(cause?: Error): void {
    this.#state = "closed";
    this.#cancelTimeout();
    this.#outbox.clear();
    this.#scheduler.schedule(0, () => {
      try {
        this.#end.handler.onClose(this, cause);
      } catch (thrown) {
        reportError(thrown);
      }
    });
  }
}
