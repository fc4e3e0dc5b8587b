/** Why a link was turned away: as many stand as may, or the process has hardly any files left to open. */
export type Crowding = "connections" | "files";

/** One that has come. */
export interface Place {
  /** It has shaken hands, as far as TLS and WebSocket go: from now on nobody takes the place from it. */
  settle(): void;
  /** It has gone. A second time is nothing. */
  leave(): void;
}

/** Links that may be at it at one time. */
const unsettledMaxDefault = 256;

/**
 * How many links may stand at one time: at one listener, or at all those that share this. Where there is none left for a newcomer, or
 * too many are shaking hands, the one goes that has been at that for the longest time: an honest one takes milliseconds.
 */
export class Places {
  readonly max: number;
  /** Sent away in the middle of TLS or of the upgrade to a WebSocket, to make room for others. */
  evicted = 0;
  readonly #unsettledMax: number;
  #taken = 0;
  /** In the order in which they came, and how to be rid of them. */
  readonly #unsettled = new Map<Place, () => void>();

  constructor(max: number) {
    this.max = max;
    this.#unsettledMax = Math.max(Math.min(unsettledMaxDefault, Math.ceil(max / 2)), 1);
  }

  get taken(): number {
    return this.#taken;
  }

  get isFull(): boolean {
    return this.#taken >= this.max;
  }

  /** Those that are still shaking hands. */
  get unsettled(): number {
    return this.#unsettled.size;
  }

  /** Null: there is none. `evict` is called if somebody else needs it before it is settled. */
  take(evict: () => void): Place | null {
    if (this.isFull || this.#unsettled.size >= this.#unsettledMax) this.evictOldest();
    if (this.isFull) return null;
    this.#taken++;
    let isTaken = true;
    const place: Place = {
      settle: () => void this.#unsettled.delete(place),
      leave: () => {
        this.#unsettled.delete(place);
        if (isTaken) this.#taken--;
        isTaken = false;
      },
    };
    this.#unsettled.set(place, evict);
    return place;
  }

  /** Whether there was one. */
  evictOldest(): boolean {
    for (const [place, evict] of this.#unsettled) {
      this.evicted++;
      place.leave();
      evict();
      return true;
    }
    return false;
  }
}
