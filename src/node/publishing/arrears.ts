/** The subscriptions of one link that had to be ended because too much waited for them, until they are asked for again. */
export class Arrears {
  /** The version that each had been brought to; null: it had no state yet. */
  readonly #sent = new Map<number, number | null>();

  add(subscription: number, sent: number | null): void {
    this.#sent.set(subscription, sent);
  }

  /** The follower wants no more of it. */
  delete(subscription: number): void {
    this.#sent.delete(subscription);
  }

  /** Followers ask again in the order in which they hear of it, under another number. */
  askedAgain(): void {
    for (const first of this.#sent.keys()) return this.delete(first);
  }

  /** The versions that they had been brought to. */
  get versions(): Iterable<number | null> {
    return this.#sent.values();
  }
}
