/**
 * Hands bytes to the system: how many of `length` bytes from `offset` it took. Fewer than `length` means that it is full
 * for now, a negative number that it takes nothing any more.
 */
export type Sink = (bytes: Uint8Array, offset: number, length: number) => number;

/** Parts below this are copied together, so that many of them cost one system call; larger ones are sent from where they lie. */
export const borrowBytesMin = 16 * 1024;

interface Stretch {
  bytes: Uint8Array;
  start: number;
  end: number;
  /** From a pool: more may be appended behind `end`, and it goes back when sent. */
  readonly isGathered: boolean;
}

// Buffers to gather in belong to all links together, because an idle link should own none. A gather starts small, so
// that a thousand stalled links with a heartbeat each hold 4 MiB and not 64.
const smallBytes = 4 * 1024;
const largeBytes = 64 * 1024;
const smallPool: Uint8Array[] = [];
const largePool: Uint8Array[] = [];
const poolBuffersMax = 16;

/** What a link was asked to send and the system has not taken yet, in order. */
export class Outbox {
  readonly #sink: Sink;
  #stretches: Stretch[] = [];
  #first = 0;
  /** The last stretch, where more can be gathered behind it. */
  #gathered: Stretch | null = null;
  #bytes = 0;

  constructor(sink: Sink) {
    this.#sink = sink;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Appends the parts, copying small ones; sends nothing. */
  push(parts: readonly Uint8Array[]): void {
    for (const part of parts) {
      const length = part.byteLength;
      if (length === 0) continue;
      if (length < borrowBytesMin) this.#gather(part, length);
      else {
        this.#stretches.push({ bytes: part, start: 0, end: length, isGathered: false });
        this.#gathered = null;
      }
      this.#bytes += length;
    }
  }

  /** Sends until all is gone ("empty"), the system is full ("full") or takes nothing any more ("broken"). */
  flush(): "empty" | "full" | "broken" {
    while (this.#first < this.#stretches.length) {
      const stretch = this.#stretches[this.#first]!;
      const wanted = stretch.end - stretch.start;
      const taken = this.#sink(stretch.bytes, stretch.start, wanted);
      if (taken < 0) return "broken";
      this.#bytes -= taken;
      stretch.start += taken;
      if (taken < wanted) {
        this.#forgetSent();
        return "full";
      }
      this.#first++;
      if (stretch.isGathered) release(stretch.bytes);
    }
    this.#stretches.length = 0;
    this.#first = 0;
    this.#gathered = null;
    return "empty";
  }

  clear(): void {
    for (const stretch of this.#stretches.slice(this.#first)) if (stretch.isGathered) release(stretch.bytes);
    this.#stretches = [];
    this.#first = 0;
    this.#gathered = null;
    this.#bytes = 0;
  }

  #gather(part: Uint8Array, length: number): void {
    let last = this.#gathered;
    if (last === null || last.end + length > last.bytes.byteLength) {
      if (last !== null && last.bytes.byteLength === smallBytes) enlarge(last);
      else {
        last = {
          bytes: acquire(length > smallBytes ? largeBytes : smallBytes),
          start: 0,
          end: 0,
          isGathered: true,
        };
        this.#stretches.push(last);
        this.#gathered = last;
      }
    }
    last.bytes.set(part, last.end);
    last.end += length;
  }

  #forgetSent(): void {
    if (this.#first < 32 || this.#first * 2 < this.#stretches.length) return;
    this.#stretches.splice(0, this.#first);
    this.#first = 0;
  }
}

function enlarge(stretch: Stretch): void {
  const small = stretch.bytes;
  stretch.bytes = acquire(largeBytes);
  stretch.bytes.set(small.subarray(0, stretch.end));
  release(small);
}

function acquire(bytes: number): Uint8Array {
  return (bytes === smallBytes ? smallPool : largePool).pop() ?? new Uint8Array(bytes);
}

function release(bytes: Uint8Array): void {
  const pool = bytes.byteLength === smallBytes ? smallPool : largePool;
  if (pool.length < poolBuffersMax) pool.push(bytes);
}
