/**
 * Holds at most one item for a consumer that takes them in its own time: what arrives before the last was taken is merged into it.
 * However slow the consumer, it costs one item and misses nothing.
 */
export class Mailbox<Item> implements AsyncIterableIterator<Item> {
  readonly #merge: (earlier: Item, later: Item) => Item;
  readonly #onEnd: () => void;
  #item: Item | null = null;
  readonly #waiting: ((result: IteratorResult<Item>) => void)[] = [];
  #ended = false;

  constructor(merge: (earlier: Item, later: Item) => Item, onEnd: () => void = () => {}) {
    this.#merge = merge;
    this.#onEnd = onEnd;
  }

  put(item: Item): void {
    if (this.#ended) return;
    const taker = this.#waiting.shift();
    if (taker) taker({ done: false, value: item });
    else this.#item = this.#item === null ? item : this.#merge(this.#item, item);
  }

  /** No more will come; what is there may still be taken. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    for (const taker of this.#waiting.splice(0)) taker({ done: true, value: undefined });
    this.#onEnd();
  }

  next(): Promise<IteratorResult<Item>> {
    if (this.#item !== null) {
      const value = this.#item;
      this.#item = null;
      return Promise.resolve({ done: false, value });
    }
    if (this.#ended) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  return(): Promise<IteratorResult<Item>> {
    this.end();
    this.#item = null;
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
