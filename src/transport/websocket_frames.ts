/** The framing of RFC 6455, section 5. Payloads pass through as they arrive: no message is ever collected. */

export const opcodes = { more: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

/** Why a WebSocket ends, as its Close frame says it (RFC 6455 section 7.4.1). */
export const closeCodes = { normal: 1000, protocol: 1002, unsupported: 1003, tooBig: 1009 } as const;

/** Payload of one frame from the other side; ours are shorter. It costs no memory, but nothing longer makes sense. */
export const framePayloadBytesMax = 16 * 1024 * 1024;
/** Payload of a frame of ours. Browsers hand out a message when it is whole, so a long write becomes several. */
export const messageBytesMax = 1024 * 1024;

const controlBytesMax = 125;

export class WebSocketFault extends Error {
  readonly code: number;

  constructor(code: number, text: string) {
    super(text);
    this.code = code;
  }
}

export type Part =
  /** Bytes of the stream. */
  | { readonly kind: "data"; readonly bytes: Uint8Array }
  | { readonly kind: "ping" | "pong"; readonly bytes: Uint8Array }
  /** `code` 1005: none was given. */
  | { readonly kind: "close"; readonly code: number };

/** Cuts what arrives into parts. Bytes are pulled, so that a reader can stop between two of them. */
export class FrameReader {
  readonly #isMasked: boolean;
  /** What was pushed, and how far it is used up. */
  #pushed: Uint8Array = new Uint8Array(0);
  #at = 0;
  /** The header of the next frame, as far as it has arrived. */
  readonly #header = new Uint8Array(14);
  #headerBytes = 0;
  #opcode = -1;
  #payloadLeft = 0;
  readonly #key = new Uint8Array(4);
  /** How many bytes of this payload have been unmasked. */
  #unmasked = 0;
  #control: number[] = [];
  /** A message has begun and its last frame has not come. */
  #isInMessage = false;

  /** `isMasked`: the other side is the one that dialled, whose payloads are masked. */
  constructor(isMasked: boolean) {
    this.#isMasked = isMasked;
  }

  /** The bytes become the reader's: payloads are unmasked where they lie. */
  push(bytes: Uint8Array): void {
    this.#pushed = this.hasMore ? joined(this.#pushed.subarray(this.#at), bytes) : bytes;
    this.#at = 0;
  }

  /** Whether some of what was pushed has not been looked at. */
  get hasMore(): boolean {
    return this.#at < this.#pushed.byteLength;
  }

  /** Null: more bytes are needed. Throws {@link WebSocketFault}. */
  next(): Part | null {
    for (;;) {
      if (this.#opcode < 0 && !this.#readHeader()) return null;
      const payload = this.#takePayload();
      if (this.#opcode < opcodes.close) {
        if (this.#payloadLeft === 0) this.#opcode = -1;
        if (payload.byteLength > 0) return { kind: "data", bytes: payload };
        if (this.#opcode >= 0) return null;
      } else {
        for (const byte of payload) this.#control.push(byte);
        if (this.#payloadLeft > 0) return null;
        return this.#controlPart();
      }
    }
  }

  #takePayload(): Uint8Array {
    const bytes = Math.min(this.#payloadLeft, this.#pushed.byteLength - this.#at);
    const payload = this.#pushed.subarray(this.#at, this.#at + bytes);
    this.#at += bytes;
    this.#payloadLeft -= bytes;
    if (this.#isMasked) {
      applyMask(payload, this.#key, this.#unmasked);
      this.#unmasked += bytes;
    }
    return payload;
  }

  #controlPart(): Part {
    const bytes = Uint8Array.from(this.#control);
    const opcode = this.#opcode;
    this.#control = [];
    this.#opcode = -1;
    if (opcode === opcodes.ping) return { kind: "ping", bytes };
    if (opcode === opcodes.pong) return { kind: "pong", bytes };
    if (bytes.byteLength === 1) bad("a close code of one byte");
    return { kind: "close", code: bytes.byteLength === 0 ? 1005 : bytes[0]! * 256 + bytes[1]! };
  }

  /** True when the header of a frame is complete and right. */
  #readHeader(): boolean {
    const header = this.#header;
    for (;;) {
      const wanted = this.#headerBytes < 2 ? 2 : headerSize(header[1]!, this.#isMasked);
      if (this.#headerBytes === wanted) break;
      if (!this.hasMore) return false;
      header[this.#headerBytes++] = this.#pushed[this.#at++]!;
      // Two bytes are enough to refuse a frame that no length could make right.
      if (this.#headerBytes === 2) this.#checkStart(header[0]!, header[1]!);
    }
    this.#begin();
    return true;
  }

  #checkStart(first: number, second: number): void {
    const opcode = first & 15;
    if ((first & 0x70) !== 0) bad("reserved bits");
    if (second >> 7 !== (this.#isMasked ? 1 : 0)) bad(this.#isMasked ? "no mask" : "a mask");
    if (opcode >= opcodes.close) {
      if (opcode > opcodes.pong) bad(`opcode ${opcode}`);
      if (first >> 7 === 0 || (second & 127) > controlBytesMax) bad("a control frame in parts, or too long");
      return;
    }
    if (opcode > opcodes.binary) bad(`opcode ${opcode}`);
    if (opcode === opcodes.text)
      throw new WebSocketFault(closeCodes.unsupported, "it sent text, which has no meaning here");
    if ((opcode === opcodes.more) !== this.#isInMessage)
      bad("a message that starts or goes on at the wrong place");
  }

  #begin(): void {
    const header = this.#header;
    const view = new DataView(header.buffer);
    const short = header[1]! & 127;
    let bytes = short;
    if (short === 126) bytes = view.getUint16(2);
    if (short === 127) bytes = view.getUint32(2) * 2 ** 32 + view.getUint32(6);
    if ((short === 126 && bytes < 126) || (short === 127 && bytes < 65_536))
      bad("a length that is written too long");
    if (bytes > framePayloadBytesMax)
      throw new WebSocketFault(
        closeCodes.tooBig,
        `it sent a frame of ${bytes} bytes, at most ${framePayloadBytesMax} are taken`,
      );
    this.#opcode = header[0]! & 15;
    this.#payloadLeft = bytes;
    if (this.#opcode < opcodes.close) this.#isInMessage = header[0]! >> 7 === 0;
    if (this.#isMasked) this.#key.set(header.subarray(this.#headerBytes - 4, this.#headerBytes));
    this.#unmasked = 0;
    this.#headerBytes = 0;
  }
}

function headerSize(second: number, isMasked: boolean): number {
  return 2 + lengthSize(second & 127) + (isMasked ? 4 : 0);
}

function lengthSize(short: number): number {
  return short === 127 ? 8 : short === 126 ? 2 : 0;
}

function bad(what: string): never {
  throw new WebSocketFault(closeCodes.protocol, `it broke the WebSocket protocol with ${what}`);
}

/** XORs with the key, of which the first `done` bytes are used up; in place. */
export function applyMask(bytes: Uint8Array, key: Uint8Array, done = 0): void {
  const { length } = bytes;
  let at = 0;
  if (length >= 64) {
    for (; (bytes.byteOffset + at) % 4 !== 0; at++) bytes[at]! ^= key[(done + at) & 3]!;
    const turned = Uint8Array.from(key, (_, i) => key[(done + at + i) & 3]!);
    const word = new Uint32Array(turned.buffer)[0]!;
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset + at, (length - at) >> 2);
    for (let i = 0; i < words.length; i++) words[i]! ^= word;
    at += words.length * 4;
  }
  for (; at < length; at++) bytes[at]! ^= key[(done + at) & 3]!;
}

/** The parts as frames of the side that listens: the payload is not copied. */
export function plainFrames(opcode: number, parts: readonly Uint8Array[], bytes: number): Uint8Array[] {
  const views: Uint8Array[] = [];
  let unframed = bytes;
  let room = 0;
  if (bytes === 0) views.push(frameHeader(opcode, 0, 0));
  for (const part of parts) {
    for (let at = 0; at < part.byteLength;) {
      if (room === 0) {
        room = Math.min(unframed, messageBytesMax);
        unframed -= room;
        views.push(frameHeader(opcode, room, 0));
      }
      const taken = Math.min(room, part.byteLength - at);
      views.push(taken === part.byteLength ? part : part.subarray(at, at + taken));
      at += taken;
      room -= taken;
    }
  }
  return views;
}

/** The parts as frames of the side that dialled: copied, and each frame under a mask of its own. */
export function maskedFrames(opcode: number, parts: readonly Uint8Array[], bytes: number): Uint8Array[] {
  const plain = plainFrames(opcode, parts, bytes);
  const frames: Uint8Array[] = [];
  for (let i = 0; i < plain.length;) {
    const header = plain[i++]!;
    const size = payloadOf(header);
    const masked = frameHeader(opcode, size, 4);
    // The payload starts at a multiple of 4, where masking takes whole words.
    const pad = -masked.byteLength & 3;
    const frame = new Uint8Array(pad + masked.byteLength + size);
    let at = pad + masked.byteLength;
    const payload = frame.subarray(at);
    while (at < frame.byteLength) {
      frame.set(plain[i]!, at);
      at += plain[i++]!.byteLength;
    }
    crypto.getRandomValues(masked.subarray(masked.byteLength - 4));
    frame.set(masked, pad);
    applyMask(payload, masked.subarray(masked.byteLength - 4));
    frames.push(frame.subarray(pad));
  }
  return frames;
}

/** The header of a final frame, with room for a mask of `maskBytes` (0 or 4) at its end. */
function frameHeader(opcode: number, bytes: number, maskBytes: number): Uint8Array {
  const short = bytes < 126 ? bytes : bytes < 65_536 ? 126 : 127;
  const header = new Uint8Array(2 + lengthSize(short) + maskBytes);
  header[0] = 0x80 | opcode;
  header[1] = (maskBytes > 0 ? 0x80 : 0) | short;
  const view = new DataView(header.buffer);
  if (short === 126) view.setUint16(2, bytes);
  if (short === 127) view.setUint32(6, bytes);
  return header;
}

function payloadOf(header: Uint8Array): number {
  const view = new DataView(header.buffer);
  const short = header[1]! & 127;
  return short === 127 ? view.getUint32(6) : short === 126 ? view.getUint16(2) : short;
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  const both = new Uint8Array(first.byteLength + second.byteLength);
  both.set(first);
  both.set(second, first.byteLength);
  return both;
}
