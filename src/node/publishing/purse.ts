import { refuse } from "../../protocol/fault.ts";

/** So long at most there is nothing to be had after it. Followers ask for 14 seconds. */
const debtSecondsMax = 8;

/** So much of one kind of work may be asked for at once, and so much more each second from then on. */
export class Purse {
  readonly #max: number;
  readonly #perSecond: number;
  readonly #now: () => number;
  /** Below 0 where something cost more than was left. */
  #credit: number;
  #creditAt: number;

  constructor(max: number, perSecond: number, now: () => number) {
    this.#max = this.#credit = max;
    this.#perSecond = perSecond;
    this.#now = now;
    this.#creditAt = now();
  }

  get credit(): number {
    const now = this.#now();
    this.#credit = Math.min(this.#max, this.#credit + ((now - this.#creditAt) / 1000) * this.#perSecond);
    this.#creditAt = now;
    return this.#credit;
  }

  /** @throws LIMIT where there is less */
  pay(cost: number): void {
    if (cost > this.credit) tooMuch();
    this.#credit -= cost;
  }

  /**
   * The same for what may cost more than there ever is: while there is no debt it is let in, and leads into one, from which there is a way
   * out before a follower gives up asking. @throws LIMIT
   */
  owe(cost: number): void {
    if (this.credit < 0) tooMuch();
    this.#credit = Math.max(this.#credit - cost, -debtSecondsMax * this.#perSecond);
  }

  giveBack(cost: number): void {
    this.#credit += cost;
  }
}

function tooMuch(): never {
  refuse("LIMIT", "This link asks for too much in too short a time: wait a second.");
}
