import { deltaFrame } from "../../protocol/encode.ts";
import type { Encoding, Reading } from "./encoding.ts";
import type { Feeds } from "./feed.ts";

/** The link that parts are handed to, and whoever wants to know of the last one of a delta. */
export interface Outlet {
  readonly isBlocked: boolean;
  write(frame: readonly Uint8Array[]): void;
  sent(subscription: number, encoding: Encoding): void;
}

/** The deltas that one link is in the middle of. */
export class Sending {
  readonly #feeds: Feeds;
  readonly #outlet: Outlet;
  readonly #readings: Reading[] = [];

  constructor(feeds: Feeds, outlet: Outlet) {
    this.#feeds = feeds;
    this.#outlet = outlet;
  }

  get isEmpty(): boolean {
    return this.#readings.length === 0;
  }

  begin(reading: Reading): void {
    this.#feeds.begin(reading);
    this.#readings.push(reading);
    this.pump();
  }

  /** Hands parts over while the link takes them: one of each delta in turn, so that a long one does not hold up the others. */
  pump(): void {
    if (this.#isPumping) return; // the last part of a delta may begin the next one: that one is for the loop below
    this.#isPumping = true;
    try {
      for (let reading = this.#next(); reading; reading = this.#next()) this.#send(reading);
    } finally {
      this.#isPumping = false;
    }
  }
  #isPumping = false;

  #next(): Reading | undefined {
    return this.#outlet.isBlocked ? undefined : this.#readings[0];
  }

  #send(reading: Reading): void {
    const { subscription, encoding } = reading;
    const frame = deltaFrame(subscription, encoding.part(reading.next));
    this.#readings.shift(); // not before it is gathered: should that fail, it is still known when the link ends
    this.#feeds.moved(reading);
    const isLast = reading.next === encoding.partCount;
    if (isLast) this.#feeds.finish(reading);
    else this.#readings.push(reading);
    this.#outlet.write(frame);
    if (isLast) this.#outlet.sent(subscription, encoding);
  }

  /** Stops in the middle, and forgets it. */
  drop(subscription: number): void {
    const at = this.#readings.findIndex((reading) => reading.subscription === subscription);
    if (at >= 0) this.#feeds.finish(this.#readings.splice(at, 1)[0]!);
  }

  dropAll(): void {
    for (const reading of this.#readings.splice(0)) this.#feeds.finish(reading);
  }
}
