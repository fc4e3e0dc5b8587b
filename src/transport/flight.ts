import { fail } from "../errors.ts";

/**
 * Runs jobs later. It is all the time that a loopback link knows: under a virtual clock it is deterministic. Jobs with
 * the same moment must run in the order in which they were scheduled. The result calls the job off.
 */
export interface Scheduler {
  schedule(delayMs: number, job: () => void): () => void;
}

/** One direction of a loopback link. It is asked anew for every delivery, so that faults may come and go. */
export interface Wire {
  /** Bytes that may be under way before the sender feels backpressure. Default 1 MiB. */
  readonly capacityBytes?: number;
  /** Broken, on both sides, when this many bytes have been delivered. Default never. */
  readonly cutAfterBytes?: number;
  /** How long the next delivery takes, after the one before. Default 0. */
  delayMs?(): number;
  /** How many of the bytes under way the next delivery brings; 0: none now, it is asked again after another `delayMs`. Default all. */
  sliceBytes?(availableBytes: number): number;
  /** May change the bytes of a delivery in place; `position` counts what was delivered before. */
  alter?(bytes: Uint8Array, position: number): void;
}

const defaultCapacityBytes = 1024 * 1024;

export interface FlightHooks {
  /** False: the receiver has paused. */
  isReady(): boolean;
  deliver(bytes: Uint8Array): void;
  deliverEnd(): void;
  /** There is room again. */
  emptied(): void;
  cut(): void;
}

/** The bytes of one direction that are under way. One delivery is scheduled at a time, so order needs no care. */
export class Flight {
  readonly #scheduler: Scheduler;
  readonly #wire: Wire;
  #hooks: FlightHooks | null = null;
  #chunks: Uint8Array[] = [];
  #bytes = 0;
  #delivered = 0;
  #endDue = false;
  #isDropped = false;
  #isScheduled = false;

  constructor(scheduler: Scheduler, wire: Wire) {
    this.#scheduler = scheduler;
    this.#wire = wire;
  }

  begin(hooks: FlightHooks): void {
    this.#hooks = hooks;
  }

  take(bytes: Uint8Array, offset: number, length: number): number {
    if (this.#isDropped || this.#endDue) return -1;
    const room = (this.#wire.capacityBytes ?? defaultCapacityBytes) - this.#bytes;
    const taken = Math.max(0, Math.min(length, room));
    if (taken === 0) return 0;
    this.#chunks.push(bytes.slice(offset, offset + taken));
    this.#bytes += taken;
    this.carry();
    return taken;
  }

  /** The end mark, behind what is under way. */
  end(): void {
    this.#endDue = true;
    this.carry();
  }

  drop(): void {
    this.#isDropped = true;
    this.#chunks = [];
    this.#bytes = 0;
  }

  carry(): void {
    if (this.#isScheduled || this.#isDropped || (this.#bytes === 0 && !this.#endDue)) return;
    this.#isScheduled = true;
    this.#scheduler.schedule(this.#wire.delayMs?.() ?? 0, () => this.#arrive());
  }

  #arrive(): void {
    this.#isScheduled = false;
    const hooks = this.#hooks!;
    if (this.#isDropped || !hooks.isReady()) return;
    if (this.#bytes === 0) {
      this.#isDropped = true;
      return hooks.deliverEnd();
    }
    const left = (this.#wire.cutAfterBytes ?? Number.POSITIVE_INFINITY) - this.#delivered;
    const slice = Math.min(this.#sliceBytes(), left);
    if (slice > 0) {
      const bytes = this.#remove(slice);
      this.#wire.alter?.(bytes, this.#delivered);
      this.#delivered += slice;
      hooks.deliver(bytes);
      hooks.emptied();
    }
    if (slice >= left) hooks.cut();
    else this.carry();
  }

  #sliceBytes(): number {
    const asked = this.#wire.sliceBytes?.(this.#bytes) ?? this.#bytes;
    if (!(asked >= 0)) fail("INVALID_OPTION", `sliceBytes gave ${asked}; expected 0 or more.`);
    return Math.min(Math.floor(asked), this.#bytes);
  }

  /** The first `count` bytes, in memory of their own. */
  #remove(count: number): Uint8Array {
    if (this.#chunks[0]!.length === count) {
      this.#bytes -= count;
      return this.#chunks.shift()!;
    }
    const removed = new Uint8Array(count);
    let filled = 0;
    let used = 0;
    while (filled < count) {
      const chunk = this.#chunks[used]!;
      const part = chunk.subarray(0, count - filled);
      removed.set(part, filled);
      filled += part.length;
      if (part.length === chunk.length) used++;
      else this.#chunks[used] = chunk.subarray(part.length);
    }
    this.#chunks.splice(0, used);
    this.#bytes -= count;
    return removed;
  }
}
