import { fail, MemblastError } from "../errors.ts";
import { formatAddress, formatEndpoint } from "../transport/address.ts";
import { asError, linkClosed } from "../transport/failure.ts";
import {
  type ConnectOptions,
  defaultCloseTimeoutMs,
  defaultConnectTimeoutMs,
  type Link,
  type LinkHandler,
  type LinkState,
  type Transport,
} from "../transport/link.ts";

/** Above this `write` says stop. What a follower sends is small, so that it only happens where the network has gone. */
const bufferedBytesMax = 1024 * 1024;
/** A WebSocket does not say when it has sent something. */
const drainPollMs = 20;
/** 1001: the page goes away; 1005: no code was given. */
const peacefulCodes = [1000, 1001, 1005];

/** The WebSocket that browsers have (and Bun): it dials `ws` and `wss`, and cannot listen. */
export const webSocketTransport: Transport = {
  async listen(address) {
    return fail("INVALID_ADDRESS", `Nothing can listen on ${formatAddress(address)} inside a browser.`);
  },
  connect: (address, handler, options = {}) => dial(formatAddress(address), handler, options),
};

/** Resolves after `onOpen`; rejects with CONNECT_FAILED, of which a browser never tells the reason. */
function dial(url: string, handler: LinkHandler, options: ConnectOptions): Promise<Link> {
  const { promise, resolve, reject } = Promise.withResolvers<Link>();
  const { signal, timeoutMs = defaultConnectTimeoutMs } = options;
  if (signal?.aborted) return Promise.reject(refused(url, "it was called off"));
  const socket = new WebSocket(url);
  socket.binaryType = "arraybuffer";
  const giveUp = (why: string) => {
    settle();
    socket.onopen = () => socket.close();
    socket.onclose = null;
    socket.close();
    reject(refused(url, why));
  };
  const callOff = () => giveUp("it was called off");
  const timer = setTimeout(() => giveUp("no answer came in time"), timeoutMs);
  const settle = () => {
    clearTimeout(timer);
    signal?.removeEventListener("abort", callOff);
  };
  signal?.addEventListener("abort", callOff, { once: true });
  socket.onclose = () => giveUp("is a node listening there, and does it let pages of this origin in?");
  socket.onopen = () => {
    settle();
    const link = new BrowserLink(socket, url, options.closeTimeoutMs ?? defaultCloseTimeoutMs);
    link.opened(handler);
    resolve(link);
  };
  return promise;
}

function refused(url: string, why: string): MemblastError {
  return new MemblastError("CONNECT_FAILED", `No connection to ${url}: ${why}`, {
    address: url,
    reason: "refused",
  });
}

/** A link over a WebSocket of the platform's. What arrives while it is paused is held: nothing can hold back the other side. */
class BrowserLink implements Link {
  readonly description: string;
  readonly remote: string;
  readonly #socket: WebSocket;
  readonly #closeTimeoutMs: number;
  #handler: LinkHandler | null = null;
  #state: LinkState = "open";
  #held: Uint8Array[] | null = null;
  #drainTimer: ReturnType<typeof setInterval> | undefined;
  #closeTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(socket: WebSocket, url: string, closeTimeoutMs: number) {
    this.#socket = socket;
    this.#closeTimeoutMs = closeTimeoutMs;
    const { protocol, hostname, port } = new URL(url);
    this.remote = formatEndpoint(hostname, Number(port) || (protocol === "ws:" ? 80 : 443));
    this.description = `${protocol.slice(0, -1)} to ${this.remote}`;
    socket.onmessage = ({ data }) => this.#received(data);
    socket.onclose = ({ code, wasClean }) => this.#closed(code, wasClean);
  }

  get state(): LinkState {
    return this.#state;
  }

  get queuedBytes(): number {
    return this.#state === "closed" ? 0 : this.#socket.bufferedAmount;
  }

  write(parts: readonly Uint8Array[]): boolean {
    if (this.#state !== "open") return false;
    const message = joined(parts);
    if (message.byteLength > 0) this.#socket.send(message);
    if (this.#drainTimer !== undefined) return false;
    if (this.#socket.bufferedAmount <= bufferedBytesMax) return true;
    this.#drainTimer = setInterval(() => this.#lookForRoom(), drainPollMs);
    return false;
  }

  pause(): void {
    if (this.#state === "open") this.#held ??= [];
  }

  resume(): void {
    queueMicrotask(() => {
      const held = this.#held ?? [];
      this.#held = null;
      for (const bytes of held) this.#received(bytes);
    });
  }

  close(): void {
    if (this.#state !== "open") return;
    this.#state = "closing";
    this.#socket.close(1000);
    const why = `the other side did not close within ${this.#closeTimeoutMs} ms`;
    this.#closeTimer = setTimeout(() => this.abort(linkClosed(this.description, why)), this.#closeTimeoutMs);
  }

  abort(cause?: Error): void {
    if (this.#state === "closed") return;
    this.#socket.close();
    this.#end(cause ?? linkClosed(this.description, "it was aborted on this side"));
  }

  opened(handler: LinkHandler): void {
    this.#handler = handler;
    this.#guard(() => handler.onOpen?.(this));
  }

  #received(data: unknown): void {
    if (this.#state !== "open") return;
    if (typeof data === "string")
      return this.abort(linkClosed(this.description, "text came, which has no meaning here"));
    const bytes = data instanceof Uint8Array ? data : new Uint8Array(data as ArrayBuffer);
    if (this.#held) this.#held.push(bytes);
    else this.#guard(() => this.#handler?.onBytes(this, bytes));
  }

  #lookForRoom(): void {
    if (this.#socket.bufferedAmount > 0) return;
    clearInterval(this.#drainTimer);
    this.#drainTimer = undefined;
    if (this.#state === "open") this.#guard(() => this.#handler?.onDrain?.(this));
  }

  #closed(code: number, wasClean: boolean): void {
    if (this.#state === "closed") return;
    const inPeace = wasClean && peacefulCodes.includes(code);
    this.#end(
      inPeace ? undefined : linkClosed(this.description, `it broke (code ${code})`, { closeCode: code }),
    );
  }

  #guard(run: () => void): void {
    try {
      run();
    } catch (thrown) {
      this.abort(asError(thrown));
    }
  }

  #end(cause: Error | undefined): void {
    this.#state = "closed";
    this.#held = null;
    clearInterval(this.#drainTimer);
    clearTimeout(this.#closeTimer);
    this.#socket.onmessage = null;
    const handler = this.#handler;
    this.#handler = null;
    queueMicrotask(() => handler?.onClose(this, cause));
  }
}

function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  let bytes = 0;
  for (const part of parts) bytes += part.byteLength;
  const all = new Uint8Array(bytes);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.byteLength;
  }
  return all;
}
