import { fail } from "../errors.ts";
import { type Crc32c, crc32cRange } from "./crc32c.ts";
import { paddingOf } from "./cursor.ts";
import { ProtocolFault, refuse } from "./fault.ts";
import { handshakePayloadBytesMax, headerBytes, payloadBytesMax } from "./limits.ts";
import type { Frame } from "./messages.ts";

const nothing = new Uint8Array(0);
const heldBytesMin = 1_024;

/**
 * Cuts a byte stream into frames. It knows bytes, not sockets: however the stream is sliced, the frames are the same.
 *
 * ```ts
 * framer.push(bytes);
 * for (let frame = framer.next(); frame !== null; frame = framer.next()) { ... }
 * ```
 *
 * Frames are pulled one at a time, because what one of them says may change the limit that holds for the next.
 *
 * A frame that lies wholly in the pushed bytes is a view of them: they must never change afterwards, and live as long as
 * the frame does. Only a frame that arrives in pieces is copied, into memory that grows with what has really arrived, at
 * most to twice that: a length that is only announced costs nothing.
 */
export class Framer {
  readonly #crc: Crc32c;
  #payloadBytesMax = handshakePayloadBytesMax;
  /** What was pushed last, and how much of it is used up. */
  #pushed: Uint8Array = nothing;
  #at = 0;
  /** The start of a frame whose end has not arrived. */
  #held: Uint8Array = nothing;
  #heldBytes = 0;
  /** Size of that frame on the wire; 0 as long as its header is not complete. */
  #frameBytes = 0;
  #fault: ProtocolFault | null = null;

  constructor(crc: Crc32c) {
    this.#crc = crc;
  }

  /** Bytes of an unfinished frame that are kept for later. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** Memory that is kept for it. */
  get capacityBytes(): number {
    return this.#held.length;
  }

  /** From the next frame on. */
  limitPayload(bytes: number): void {
    if (!(bytes > 0 && bytes <= payloadBytesMax))
      fail("INVALID_OPTION", `${bytes} is not a legal frame limit.`);
    this.#payloadBytesMax = bytes;
  }

  /** What is still unread of an earlier push comes first. After a fault, bytes are thrown away. */
  push(bytes: Uint8Array): void {
    if (this.#fault !== null) return;
    this.#pushed = this.#at < this.#pushed.length ? joined(this.#pushed.subarray(this.#at), bytes) : bytes;
    this.#at = 0;
  }

  /** The next complete frame, null if more bytes are needed, or the fault after which there will be no more frames. */
  next(): Frame | ProtocolFault | null {
    if (this.#fault !== null) return this.#fault;
    try {
      return this.#heldBytes > 0 ? this.#resume() : this.#direct();
    } catch (fault) {
      if (!(fault instanceof ProtocolFault)) throw fault;
      this.#pushed = this.#held = nothing;
      this.#at = this.#heldBytes = 0;
      this.#fault = fault;
      return fault;
    }
  }

  #direct(): Frame | null {
    const bytes = this.#pushed;
    const at = this.#at;
    const bytesLeft = bytes.length - at;
    if (bytesLeft >= headerBytes) this.#frameBytes = this.#checkHeader(bytes, at);
    if (bytesLeft < headerBytes || bytesLeft < this.#frameBytes) {
      this.#hold(bytesLeft);
      return null;
    }
    this.#at += this.#frameBytes;
    this.#frameBytes = 0;
    return this.#take(bytes, at);
  }

  #resume(): Frame | null {
    if (this.#frameBytes === 0) {
      this.#hold(headerBytes - this.#heldBytes);
      if (this.#heldBytes < headerBytes) return null;
      this.#frameBytes = this.#checkHeader(this.#held, 0);
    }
    this.#hold(this.#frameBytes - this.#heldBytes);
    if (this.#heldBytes < this.#frameBytes) return null;
    const frame = this.#held;
    this.#held = nothing;
    this.#heldBytes = this.#frameBytes = 0;
    return this.#take(frame, 0);
  }

  /** Copies at most `wanted` of the pushed bytes behind those that are held. */
  #hold(wanted: number): void {
    const bytes = Math.min(wanted, this.#pushed.length - this.#at);
    const needed = this.#heldBytes + bytes;
    if (needed > this.#held.length) {
      const enough = this.#frameBytes === 0 ? headerBytes : this.#frameBytes;
      const grown = new Uint8Array(Math.min(enough, Math.max(2 * needed, heldBytesMin)));
      grown.set(this.#held.subarray(0, this.#heldBytes));
      this.#held = grown;
    }
    this.#held.set(this.#pushed.subarray(this.#at, this.#at + bytes), this.#heldBytes);
    this.#heldBytes = needed;
    this.#at += bytes;
    if (this.#at === this.#pushed.length) {
      this.#pushed = nothing; // nobody should keep a large buffer alive for a few bytes that are copied
      this.#at = 0;
    }
  }

  /** Size on the wire of the frame whose header is at `at`. */
  #checkHeader(bytes: Uint8Array, at: number): number {
    if (crc32cRange(bytes, at, at + 12) !== u32(bytes, at + 12)) {
      refuse("BAD_HEADER", strangeText(bytes.subarray(at, at + headerBytes)));
    }
    if (bytes[at + 5]! > 1 || bytes[at + 6] !== 0 || bytes[at + 7] !== 0) {
      refuse("BAD_HEADER", "Reserved bits of a frame header are set.");
    }
    const payloadBytes = u32(bytes, at);
    if (payloadBytes > this.#payloadBytesMax) {
      const text = `A frame announces ${payloadBytes} bytes, at most ${this.#payloadBytesMax} are legal now.`;
      refuse("TOO_LONG", text);
    }
    return headerBytes + payloadBytes + paddingOf(payloadBytes);
  }

  /** The whole frame is at `at`; its header has been checked. */
  #take(bytes: Uint8Array, at: number): Frame {
    const end = at + headerBytes + u32(bytes, at);
    const payload = bytes.subarray(at + headerBytes, end);
    if (this.#crc(payload) !== u32(bytes, at + 8)) {
      refuse("BAD_CHECKSUM", "The checksum of a frame is wrong: bytes were damaged on the way.");
    }
    for (let index = end; index < end + paddingOf(payload.length); index++) {
      if (bytes[index] !== 0) refuse("BAD_CHECKSUM", "The padding of a frame is not zero.");
    }
    return { type: bytes[at + 4]!, flags: bytes[at + 5]!, payload };
  }
}

const decoder = new TextDecoder("latin1");

/** What most likely came instead of a header. */
function strangeText(bytes: Uint8Array): string {
  const text = decoder.decode(bytes);
  if (text.startsWith("HTTP/"))
    return "The other side speaks HTTP: its address may begin with ws:, or with wss: instead of tls:.";
  if (/^[A-Z]{3,7} [/*]/.test(text))
    return "The other side speaks HTTP: an address for WebSockets begins with ws: or wss:, and this one does not.";
  return "The checksum of a frame header is wrong: this is no memblast peer, or bytes were damaged.";
}

function u32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}
