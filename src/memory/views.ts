import { bufferAt } from "./library.ts";

/** Buffers over mapped memory that were handed out, to be taken back before the memory goes away. */
export class Views {
  readonly #kept: ArrayBuffer[] = [];
  readonly #lent: ArrayBuffer[] = [];
  #isMoved = false;

  /** A buffer that lasts as long as the memory. */
  keep(address: number, bytes: number): ArrayBuffer {
    const buffer = bufferAt(address, bytes);
    this.#kept.push(buffer);
    return buffer;
  }

  /** A buffer that lasts until {@link Views.revoke}. */
  lend(address: number, bytes: number): ArrayBuffer {
    const buffer = bufferAt(address, bytes);
    this.#lent.push(buffer);
    return buffer;
  }

  revoke(): void {
    if (this.#lent.length) this.#detach(this.#lent);
  }

  /** Every buffer and every view of it reads as length 0 from here on. */
  close(): void {
    this.revoke();
    this.#detach(this.#kept);
  }

  /** Somebody transferred a buffer to where it cannot be taken back from: unmapping its memory would crash them. */
  get isMoved(): boolean {
    return this.#isMoved;
  }

  #detach(buffers: ArrayBuffer[]): void {
    for (const buffer of buffers.splice(0))
      if (buffer.detached) this.#isMoved = true;
      else buffer.transfer(0);
  }
}
