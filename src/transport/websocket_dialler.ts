import { MemblastError } from "../errors.ts";
import { formatEndpoint } from "./address.ts";
import { connectStream } from "./dialler.ts";
import { asError, connectFailed, type ConnectReason, isTlsAlert, upgradeRefused } from "./failure.ts";
import { type Head, HeadReader, HttpFault } from "./http_head.ts";
import { type ConnectOptions, defaultConnectTimeoutMs, type Link, type LinkHandler } from "./link.ts";
import { checkResponse, isForeign, newKey, upgradeRequest, type WebSocketAddress } from "./upgrade.ts";
import { WebSocketLink } from "./websocket.ts";
import { restated } from "./websocket_listener.ts";

/** {@link Transport.connect} for `ws` and `wss`. */
export function connectWebSocket(
  address: WebSocketAddress,
  handler: LinkHandler,
  options: ConnectOptions = {},
): Promise<Link> {
  return new Promise((resolve, reject) => new Dial(address, handler, options, resolve, reject).start());
}

/** One attempt: a socket, a request over it, and the answer. It is settled once. */
class Dial implements LinkHandler {
  readonly #address: WebSocketAddress;
  readonly #handler: LinkHandler;
  readonly #options: ConnectOptions;
  readonly #resolve: (link: Link) => void;
  readonly #reject: (error: unknown) => void;
  readonly #key = newKey();
  readonly #head = new HeadReader();
  readonly #calledOff = new AbortController();
  #socket: Link | null = null;
  #link: WebSocketLink | null = null;
  #isSettled = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #onAbort = () => this.#refuse("aborted", this.#options.signal?.reason);

  constructor(
    address: WebSocketAddress,
    handler: LinkHandler,
    options: ConnectOptions,
    resolve: (link: Link) => void,
    reject: (error: unknown) => void,
  ) {
    this.#address = address;
    this.#handler = handler;
    this.#options = options;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  start(): void {
    const { signal, timeoutMs = defaultConnectTimeoutMs } = this.#options;
    if (signal?.aborted) return this.#onAbort();
    signal?.addEventListener("abort", this.#onAbort, { once: true });
    this.#timer = setTimeout(() => this.#refuse("timeout"), timeoutMs);
    const { kind, host, port } = this.#address;
    const socketAddress = { kind: kind === "ws" ? "tcp" : "tls", host, port } as const;
    connectStream(socketAddress, this, { ...this.#options, signal: this.#calledOff.signal }).catch(
      (error: unknown) => this.#failed(restated(error, socketAddress, this.#address)),
    );
  }

  onOpen(socket: Link): void {
    this.#socket = socket;
    if (this.#isSettled) return socket.abort();
    socket.write([upgradeRequest(this.#address, this.#key)]);
  }

  onBytes(_: Link, bytes: Uint8Array): void {
    if (this.#link) return this.#link.received(bytes);
    if (this.#isSettled) return;
    let head: Head | null;
    try {
      head = this.#head.push(bytes);
      if (head === null) return;
      checkResponse(head, this.#key, this.#head.rest);
    } catch (thrown) {
      return this.#refuse("upgrade", thrown);
    }
    this.#open(this.#head.rest);
  }

  onDrain(): void {
    this.#link?.drained();
  }

  onClose(_: Link, cause?: Error): void {
    if (this.#link) this.#link.closed(cause);
    else this.#refuse(isTlsAlert(cause) ? "tls" : "closed", cause);
  }

  #open(rest: Uint8Array): void {
    this.#settle();
    const { kind, host, port } = this.#address;
    const description = `${kind} to ${formatEndpoint(host, port)}`;
    const link = new WebSocketLink(this.#socket!, { description, isDialler: true });
    this.#link = link;
    try {
      link.opened(this.#handler);
      link.received(rest);
    } catch (thrown) {
      link.abort(asError(thrown));
    }
    this.#resolve(link);
  }

  #failed(error: unknown): void {
    if (this.#isSettled) return;
    this.#settle();
    this.#reject(error);
  }

  #refuse(reason: ConnectReason, cause?: unknown): void {
    if (this.#isSettled) return;
    this.#failed(this.#failure(reason, cause));
    this.#calledOff.abort();
    this.#socket?.abort();
  }

  #failure(reason: ConnectReason, cause: unknown): MemblastError {
    const fault = cause instanceof HttpFault ? cause : null;
    if (fault && isForeign(fault)) return upgradeRefused(this.#address, fault);
    const { code, message, details, cause: why } = connectFailed(this.#address, reason, cause);
    return new MemblastError(code, message, { ...details, ...(fault && { status: fault.status }) }, why);
  }

  #settle(): void {
    this.#isSettled = true;
    clearTimeout(this.#timer);
    this.#options.signal?.removeEventListener("abort", this.#onAbort);
  }
}
