import { asError, linkClosed } from "./failure.ts";
import type { Link, LinkHandler, LinkState } from "./link.ts";
import {
  closeCodes,
  FrameReader,
  maskedFrames,
  opcodes,
  type Part,
  plainFrames,
  WebSocketFault,
} from "./websocket_frames.ts";

export interface WebSocketSetting {
  readonly description: string;
  /** Which side this is: only the one that dialled masks what it sends. */
  readonly isDialler: boolean;
}

/**
 * A link over another one, in the binary messages of a WebSocket (RFC 6455); where a message ends means nothing.
 *
 * Bun's own WebSockets were tried first: the dialling one never says that there is room again and takes whatever it is given, the
 * listening one drops what is above its limit, both go on with messages after a pause, and a head may take 12 seconds. Over a
 * socket's link all of that is as it is there, and long messages go 1.6 times as fast, because they are not copied.
 */
export class WebSocketLink implements Link {
  readonly description: string;
  readonly remote: string;
  readonly #socket: Link;
  readonly #isDialler: boolean;
  readonly #frames: FrameReader;
  #handler: LinkHandler | null = null;
  #isClosing = false;
  #isPaused = false;
  /** The socket's link has said stop. */
  #isFull = false;
  /** Our own writer has been told so. */
  #owesDrain = false;
  /** The answer to the newest PING that came while the other side did not read. */
  #pong: Uint8Array | null = null;
  #cause: Error | undefined;

  constructor(socket: Link, setting: WebSocketSetting) {
    this.#socket = socket;
    this.description = setting.description;
    this.remote = socket.remote;
    this.#isDialler = setting.isDialler;
    this.#frames = new FrameReader(!setting.isDialler);
  }

  get state(): LinkState {
    if (this.#socket.state === "closed") return "closed";
    return this.#isClosing ? "closing" : this.#socket.state;
  }

  get ageMs(): number {
    return this.#socket.ageMs ?? 0;
  }

  /** The frames' headers are counted, too. */
  get queuedBytes(): number {
    return this.#socket.queuedBytes;
  }

  write(parts: readonly Uint8Array[]): boolean {
    if (this.state !== "open") return false;
    let bytes = 0;
    for (const part of parts) bytes += part.byteLength;
    if (bytes > 0) this.#send(opcodes.binary, parts, bytes);
    if (this.#isFull) this.#owesDrain = true;
    return !this.#isFull;
  }

  pause(): void {
    if (this.state !== "open" || this.#isPaused) return;
    this.#isPaused = true;
    this.#socket.pause();
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    if (this.#frames.hasMore) queueMicrotask(() => this.#goOn());
    else this.#socket.resume();
  }

  close(): void {
    if (this.state !== "open") return;
    this.#end(closeCodes.normal);
  }

  abort(cause?: Error): void {
    this.#socket.abort(cause);
  }

  // ---- what the handshake and the socket's link report ----

  opened(handler: LinkHandler): void {
    this.#handler = handler;
    handler.onOpen?.(this);
  }

  received(bytes: Uint8Array): void {
    if (bytes.byteLength === 0) return;
    this.#frames.push(bytes);
    this.#read();
  }

  drained(): void {
    this.#isFull = false;
    const pong = this.#pong;
    this.#pong = null;
    if (pong && this.state === "open") this.#send(opcodes.pong, [pong], pong.byteLength);
    if (!this.#owesDrain || this.#isFull) return;
    this.#owesDrain = false;
    this.#handler?.onDrain?.(this);
  }

  closed(cause?: Error): void {
    const isCut = !this.#isClosing && !cause;
    const known = cause ?? this.#cause;
    this.#isClosing = true;
    this.#handler?.onClose(
      this,
      isCut ? linkClosed(this.description, "the other side closed it without a Close frame") : known,
    );
  }

  // ----

  /** After a pause: what had arrived before it comes first. */
  #goOn(): void {
    try {
      this.#read();
    } catch (thrown) {
      this.abort(asError(thrown));
    }
    if (!this.#isPaused) this.#socket.resume();
  }

  #read(): void {
    try {
      while (!this.#isPaused && this.state === "open") {
        const part = this.#frames.next();
        if (part === null) return;
        this.#take(part);
      }
    } catch (thrown) {
      if (!(thrown instanceof WebSocketFault)) throw thrown;
      this.#cause = linkClosed(this.description, thrown.message, { closeCode: thrown.code });
      this.#end(thrown.code);
    }
  }

  #take(part: Part): void {
    switch (part.kind) {
      case "data":
        return this.#handler!.onBytes(this, part.bytes);
      case "ping":
        if (this.#isFull) this.#pong = part.bytes;
        else this.#send(opcodes.pong, [part.bytes], part.bytes.byteLength);
        return;
      case "pong":
        return;
      case "close":
        if (part.code !== closeCodes.normal && part.code !== 1001 && part.code !== 1005)
          this.#cause = linkClosed(this.description, `the other side closed it with code ${part.code}`, {
            closeCode: part.code,
          });
        return this.#end(closeCodes.normal);
    }
  }

  #send(opcode: number, parts: readonly Uint8Array[], bytes: number): void {
    const frames = this.#isDialler ? maskedFrames(opcode, parts, bytes) : plainFrames(opcode, parts, bytes);
    if (!this.#socket.write(frames)) this.#isFull = true;
  }

  /** Says Close, or answers it, behind what is queued. */
  #end(code: number): void {
    this.#isClosing = true;
    this.#isPaused = false;
    this.#send(opcodes.close, [Uint8Array.of(code >> 8, code & 255)], 2);
    this.#socket.close();
  }
}
