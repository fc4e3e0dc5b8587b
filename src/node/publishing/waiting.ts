import type { Encoding, Reader } from "./encoding.ts";
import type { Keeping } from "./keeping.ts";

/** The deltas of one link that wait until there is room for them. */
export class Waiting {
  readonly #keeping: Keeping;
  readonly #link: Reader;
  readonly #version: () => number;
  /** What calls them off, by subscription. */
  readonly #waits = new Map<number, () => void>();

  constructor(keeping: Keeping, link: Reader, version: () => number) {
    this.#keeping = keeping;
    this.#link = link;
    this.#version = version;
  }

  get size(): number {
    return this.#waits.size;
  }

  /**
   * Hands over what `encode` makes, at once or when there is room for it: then with all that is newest by then. Null: there is nothing
   * to send.
   */
  await(
    subscription: number,
    encode: () => Encoding | null,
    begin: (encoding: Encoding | null) => void,
  ): void {
    let encoding: Encoding | null = null;
    const tryBegin = (): boolean => {
      if (encoding?.to !== this.#version()) encoding = encode();
      if (encoding && !this.#keeping.hasRoomFor(encoding)) return false;
      this.#waits.delete(subscription);
      begin(encoding);
      return true;
    };
    if (tryBegin()) return;
    encoding = null; // a crowd that waits is not to hold what it waits for; who is first in line makes it again
    this.#waits.set(subscription, this.#keeping.wait(this.#link, tryBegin));
  }

  callOff(subscription: number): void {
    this.#waits.get(subscription)?.();
    this.#waits.delete(subscription);
  }
}
