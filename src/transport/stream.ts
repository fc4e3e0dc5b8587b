import { asError, linkClosed } from "./failure.ts";
import type { Link, LinkHandler, LinkState } from "./link.ts";
import { Outbox } from "./outbox.ts";

export type StreamSocket = Bun.Socket<StreamLink | undefined>;

/** Bun's handlers: those given, and every event of a socket that has a link passed on to it. */
export function streamEvents(
  own: Pick<Bun.SocketHandler<StreamLink | undefined>, "open" | "handshake"> & {
    closed?(error?: Error): void;
  },
): Bun.SocketHandler<StreamLink | undefined> {
  const { closed, ...rest } = own;
  const events: Bun.SocketHandler<StreamLink | undefined, "uint8array"> = {
    binaryType: "uint8array",
    ...rest,
    data: (socket, bytes) => socket.data?.received(bytes),
    drain: (socket) => socket.data?.drained(),
    error: (socket, error) => socket.data?.failed(error),
    close: (socket, error) => {
      socket.data?.closed(error);
      closed?.(error);
    },
    // without it, Bun reports a failed connect as unhandled although its promise is handled
    connectError() {},
  };
  // the options' type knows only "buffer"
  return events as unknown as Bun.SocketHandler<StreamLink | undefined>;
}

export interface StreamLinkSetting {
  readonly description: string;
  readonly remote: string;
  readonly closeTimeoutMs: number;
  /** Called by {@link StreamLink.settle}. */
  settled?(): void;
  /** Called once when the socket is gone, whether or not the link was ever opened, before `onClose`. */
  ended(): void;
}

// When to send: the first write of a turn at once, so that a lone update waits for nothing; what follows in the same
// turn is gathered until its microtasks run, or 64 KiB are there, so that a thousand small frames cost a few system
// calls. Gathering the first one too saves nothing where one frame is written per turn, which is the usual case, and
// made a broadcast hold one buffer per link. One microtask serves all links.
const gatherBytesMax = 64 * 1024;
let turn = 0;
let turnIsOpen = false;
const gathering: StreamLink[] = [];

function endTurn(): void {
  turn++;
  turnIsOpen = false;
  for (const link of gathering.splice(0)) link.sendGathered();
}

/** A link over one of Bun's sockets: TCP, unix or TLS. Whoever owns the socket passes its events on. */
export class StreamLink implements Link {
  /** Links of this process that hold a socket. */
  static open = 0;

  readonly description: string;
  readonly remote: string;
  readonly #socket: StreamSocket;
  readonly #setting: StreamLinkSetting;
  readonly #since = performance.now();
  readonly #outbox: Outbox;
  #handler: LinkHandler | null = null;
  #state: LinkState = "open";
  #cause: Error | undefined;
  #failure: Error | undefined;
  #full = false;
  #paused = false;
  /** What TLS had decrypted already when a pause began; the socket stays paused until it is delivered. */
  #held: Uint8Array[] = [];
  #endedWhileHeld = false;
  #endSent = false;
  #lastTurn = -1;
  #gathers = false;
  #closeTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(socket: StreamSocket, setting: StreamLinkSetting) {
    this.description = setting.description;
    this.remote = setting.remote;
    this.#socket = socket;
    this.#setting = setting;
    StreamLink.open++;
    this.#outbox = new Outbox((bytes, offset, length) => socket.write(bytes, offset, length));
  }

  get state(): LinkState {
    return this.#state;
  }

  get queuedBytes(): number {
    return this.#outbox.bytes;
  }

  get ageMs(): number {
    return performance.now() - this.#since;
  }

  write(parts: readonly Uint8Array[]): boolean {
    if (this.#state !== "open") return false;
    this.#outbox.push(parts);
    if (this.#full) return false;
    if (this.#lastTurn === turn && this.#outbox.bytes < gatherBytesMax) {
      this.#gather();
      return true;
    }
    this.#lastTurn = turn;
    if (!turnIsOpen) {
      turnIsOpen = true;
      queueMicrotask(endTurn);
    }
    this.#send();
    return !this.#full;
  }

  pause(): void {
    if (this.#state !== "open" || this.#paused) return;
    this.#paused = true;
    this.#socket.pause();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    if (this.#state === "closed") return;
    if (this.#held.length > 0 || this.#endedWhileHeld) queueMicrotask(() => this.#deliverHeld());
    else this.#socket.resume();
  }

  close(): void {
    if (this.#state !== "open") return;
    this.#state = "closing";
    this.resume();
    this.#closeTimer = setTimeout(() => this.#closeTimedOut(), this.#setting.closeTimeoutMs);
    this.#closeTimer.unref();
    if (!this.#full) this.#send();
    this.#sendEnd();
  }

  abort(cause?: Error): void {
    if (this.#state === "closed") return;
    this.#end(cause ?? linkClosed(this.description, "it was aborted on this side"));
    this.#socket.terminate();
  }

  // ---- what the socket reports ----

  /** All handshakes below the link's own bytes are over. */
  settle(): void {
    this.#setting.settled?.();
  }

  opened(handler: LinkHandler): void {
    this.#handler = handler;
    try {
      handler.onOpen?.(this);
    } catch (thrown) {
      this.abort(asError(thrown));
    }
  }

  received(bytes: Uint8Array): void {
    if (this.#state !== "open") return;
    if (this.#paused || this.#held.length > 0) this.#held.push(bytes);
    else this.#deliver(bytes);
  }

  drained(): void {
    if (this.#state === "closed" || !this.#full) return;
    this.#full = false;
    this.#send();
    if (this.#full) return;
    if (this.#state === "closing") return this.#sendEnd();
    try {
      this.#handler!.onDrain?.(this);
    } catch (thrown) {
      this.abort(asError(thrown));
    }
  }

  /** An error that the socket reports before it closes, as TLS does. */
  failed(error: Error): void {
    this.#failure ??= error;
  }

  closed(error?: Error): void {
    if (this.#state === "closed") return;
    const failure = error ?? this.#failure;
    if (!failure && (this.#paused || this.#held.length > 0)) {
      this.#endedWhileHeld = true;
      return;
    }
    const unsentBytes = this.#outbox.bytes;
    if (failure)
      this.#end(linkClosed(this.description, `it broke (${failure.message})`, { unsentBytes }, failure));
    else if (unsentBytes === 0) this.#end();
    else
      this.#end(
        linkClosed(this.description, `the other side closed it with ${unsentBytes} bytes unsent`, {
          unsentBytes,
        }),
      );
  }

  /** The turn in which bytes were gathered is over. */
  sendGathered(): void {
    this.#gathers = false;
    if (this.#state === "open" && !this.#full) this.#send();
  }

  // ----

  #deliver(bytes: Uint8Array): void {
    try {
      this.#handler!.onBytes(this, bytes);
    } catch (thrown) {
      this.abort(asError(thrown));
    }
  }

  #deliverHeld(): void {
    while (!this.#paused && this.#held.length > 0) {
      const bytes = this.#held.shift()!;
      if (this.#state === "open") this.#deliver(bytes);
    }
    if (this.#paused || this.#state === "closed") return;
    if (this.#endedWhileHeld) this.closed();
    else this.#socket.resume();
  }

  #gather(): void {
    if (this.#gathers) return;
    this.#gathers = true;
    gathering.push(this);
  }

  #send(): void {
    try {
      const outcome = this.#outbox.flush();
      if (outcome === "full") this.#full = true;
      else if (outcome === "broken") {
        this.abort(linkClosed(this.description, "it takes no more bytes", {}, this.#failure));
      }
    } catch (thrown) {
      // a borrowed part whose memory is gone
      this.abort(asError(thrown));
    }
  }

  #sendEnd(): void {
    if (this.#state !== "closing" || this.#endSent || this.#outbox.bytes > 0) return;
    this.#endSent = true;
    // Not end(): that closes both ways at once, and what the other side is still sending would reset the connection
    // before it has read our last bytes.
    this.#socket.shutdown();
  }

  #closeTimedOut(): void {
    if (this.#state !== "closing") return;
    const after = `within ${this.#setting.closeTimeoutMs} ms`;
    const unsentBytes = this.#outbox.bytes;
    if (unsentBytes > 0) {
      return this.abort(
        linkClosed(this.description, `${unsentBytes} bytes could not be sent ${after}`, { unsentBytes }),
      );
    }
    // Everything is with the system, which may go on delivering it: so no reset.
    this.#end(linkClosed(this.description, `the other side did not close ${after}`));
    this.#socket.end();
  }

  #end(cause?: Error): void {
    this.#state = "closed";
    this.#cause = cause;
    clearTimeout(this.#closeTimer);
    this.#outbox.clear();
    this.#held = [];
    queueMicrotask(() => this.#reportClosed());
  }

  #reportClosed(): void {
    StreamLink.open--;
    this.#setting.ended();
    const handler = this.#handler;
    this.#handler = null;
    try {
      handler?.onClose(this, this.#cause);
    } catch (thrown) {
      reportError(thrown);
    }
  }
}
