import { check } from "./failure.ts";
import { library } from "./library.ts";
import type { Segment } from "./segment.ts";

/**
 * Calls back after commits to a segment by any process, at least once after the last one; and when a process that had it open is
 * gone, or somebody did something to the file. Sleeps in the kernel while nothing of that happens. Ends with its segment.
 */
export class Doorbell implements Disposable {
  #handle: number;
  #socket: { end(): void } | null = null;
  readonly #forget: () => void;

  private constructor(handle: number, segment: Segment) {
    this.#handle = handle;
    this.#forget = segment.watch(this);
  }

  static async open(segment: Segment, onRing: () => void): Promise<Doorbell> {
    const out = new BigInt64Array(2);
    const { handle, lock } = segment.addresses;
    check(library.doorbellOpen(handle, out), `wait for commits to ${segment.name}`);
    const bell = new Doorbell(Number(out[0]), segment);
    if (lock >= 0) library.doorbellWatch(bell.#handle, lock); // without, the doorbell rings for commits alone
    bell.#socket = await Bun.connect({
      // @ts-expect-error: `fd` takes over an open socket; the types do not know it yet
      fd: Number(out[1]),
      socket: { data: () => onRing() },
    });
    if (bell.#handle === 0) bell.#socket.end();
    return bell;
  }

  close(): void {
    if (this.#handle === 0) return;
    library.doorbellClose(this.#handle);
    this.#handle = 0;
    this.#forget();
    this.#socket?.end();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
