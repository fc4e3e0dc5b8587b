import { check } from "./failure.ts";
import { bufferAt, library } from "./library.ts";

/**
 * Memory outside of JavaScript's heap that threads of other libraries may hold too: it ends when the last holder lets go. This side lets
 * go by {@link Held.release}, or when neither this object nor a view of it can be reached any more.
 */
export class Held implements Disposable {
  readonly bytes: number;
  /** Of the first byte. */
  readonly address: number;
  readonly #handle: number;
  readonly #buffers: ArrayBuffer[] = [];
  #released = false;

  /** Zeros. @throws NO_SPACE */
  constructor(bytes: number) {
    const out = new BigInt64Array(2);
    check(library.heldNew(bytes, out), `allocate ${bytes} bytes`);
    this.bytes = bytes;
    this.#handle = Number(out[0]);
    this.address = Number(out[1]);
    collected.register(this, this.#handle, this);
  }

  /** For functions of the C library that take a hold of their own. */
  get handle(): number {
    return this.#handle;
  }

  /** Whether somebody else holds it. */
  get isShared(): boolean {
    return library.heldHolders(this.#handle) > 1;
  }

  /** Live bytes, at most 4 GiB; detached (length 0) by the release. */
  buffer(offset: number, bytes: number): ArrayBuffer {
    const buffer = bufferAt(this.address + offset, bytes);
    this.#buffers.push(buffer);
    owners.set(buffer, this);
    return buffer;
  }

  /** Twice is nothing. */
  release(): void {
    if (this.#released) return;
    this.#released = true;
    collected.unregister(this);
    for (const buffer of this.#buffers) buffer.transfer(0);
    library.heldRelease(this.#handle);
  }

  [Symbol.dispose](): void {
    this.release();
  }
}

const collected = new FinalizationRegistry<number>((handle) => library.heldRelease(handle));
/** Whoever has a buffer keeps its memory. */
const owners = new WeakMap<ArrayBuffer, Held>();
