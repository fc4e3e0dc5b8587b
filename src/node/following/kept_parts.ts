/** One part: triples image offset, position in `data`, bytes. */
export interface KeptPart {
  readonly pieces: Float64Array<ArrayBuffer>;
  readonly data: Uint8Array;
}

/** What a link reads in one piece, and more. */
const slackBytes = 2 ** 20;

/**
 * Parts of a delta that wait for its last one. They are views of what their link brought in one piece, and keep all of that alive: where it
 * is more than twice what they hold themselves, because other things came between them, they are copied.
 */
export class KeptParts implements Iterable<KeptPart> {
  readonly #parts: KeptPart[] = [];
  readonly #buffers = new Set<ArrayBufferLike>();
  #dataBytes = 0;
  /** Memory that is kept alive. */
  bytes = 0;

  add(pieces: Float64Array<ArrayBuffer>, data: Uint8Array): void {
    this.#dataBytes += data.byteLength;
    const more = this.#buffers.has(data.buffer) ? 0 : data.buffer.byteLength;
    const isTooMuch = this.bytes + more > 2 * this.#dataBytes + slackBytes;
    const own = isTooMuch ? data.slice() : data;
    this.bytes += isTooMuch ? own.byteLength : more;
    this.#buffers.add(own.buffer);
    this.#parts.push({ pieces, data: own });
  }

  [Symbol.iterator](): Iterator<KeptPart> {
    return this.#parts.values();
  }
}
