import { headerBytes } from "../../src/protocol/limits.ts";

/** Finds where frames begin and end in an honest stream, by their lengths alone. */
export class FrameCutter {
  #held: Uint8Array = new Uint8Array(0);
  /** Of the stream: up to here whole frames have been taken. */
  offset = 0;

  /** The frames that are whole now, each with its padding. */
  push(bytes: Uint8Array): Uint8Array[] {
    const all = new Uint8Array(this.#held.length + bytes.length);
    all.set(this.#held);
    all.set(bytes, this.#held.length);
    const frames: Uint8Array[] = [];
    let at = 0;
    while (all.length - at >= headerBytes) {
      const payloadBytes = new DataView(all.buffer, at, 4).getUint32(0, true);
      const end = at + headerBytes + Math.ceil(payloadBytes / 8) * 8;
      if (end > all.length) break;
      frames.push(all.slice(at, end));
      at = end;
    }
    this.#held = all.slice(at);
    this.offset += at;
    return frames;
  }
}
