/** Told which bytes of the image are about to be written: offset and length, both in bytes from the start of the image. */
export type Touch = (byteOffset: number, byteLength: number) => void;

/** Hands out a stretch of the image as a buffer of its own; of the working image, one that is taken back when the transaction ends. */
export type Lend = (byteOffset: number, byteLength: number) => ArrayBuffer;

/**
 * The right to use a view, shared by every array and slice handed out together. Whoever owns the memory opens it for
 * one transaction and closes it at the end; the arrays themselves live on and work again in the next one.
 * `touch === null` means that the views may be read only.
 */
export class Lease {
  open: boolean;
  readonly touch: Touch | null;
  /** Where raw views come from; null: from the memory itself, which they may then outlive the transaction with. */
  readonly lend: Lend | null;

  constructor(touch: Touch | null, open = true, lend: Lend | null = null) {
    this.open = open;
    this.touch = touch;
    this.lend = lend;
  }

  /** For views that may be read for as long as their memory is there. `lend` is asked once for each array. */
  static readOnly(lend: Lend | null = null): Lease {
    return new Lease(null, true, lend);
  }
}
