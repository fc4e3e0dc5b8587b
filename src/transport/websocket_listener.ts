import { MemblastError } from "../errors.ts";
import { type Address, formatAddress } from "./address.ts";
import { asError, connectFailed, type ConnectReason } from "./failure.ts";
import { HeadReader, HttpFault } from "./http_head.ts";
import {
  type Accept,
  defaultHandshakeTimeoutMs,
  type Link,
  type LinkHandler,
  type Listener,
  type ListenOptions,
} from "./link.ts";
import { listenStream } from "./listener.ts";
import type { StreamLink } from "./stream.ts";
import { acceptUpgrade, type Door, isForeign, refusal, type WebSocketAddress } from "./upgrade.ts";
import { WebSocketLink } from "./websocket.ts";

/** {@link Transport.listen} for `ws` and `wss`. What is no upgrade to a WebSocket gets a short HTTP answer. */
export async function listenWebSocket(
  address: WebSocketAddress,
  accept: Accept,
  options: ListenOptions = {},
): Promise<Listener> {
  const { kind, host, port } = address;
  const socketAddress = { kind: kind === "ws" ? "tcp" : "tls", host, port } as const;
  const door: Door = { address, origins: options.origins, hosts: options.hosts ?? [] };
  const knock = () => new Knock(door, accept, options);
  try {
    const lastWord = (why: string) => [refusal(new HttpFault(403, why))];
    return new WebSocketListener(
      await listenStream(socketAddress, knock, { ...options, lastWord, settlesLater: true }),
      address,
    );
  } catch (error) {
    throw restated(error, socketAddress, address);
  }
}

class WebSocketListener implements Listener {
  readonly address: Address;
  readonly #sockets: Listener;

  constructor(sockets: Listener, { kind, path }: WebSocketAddress) {
    const { host, port } = sockets.address as WebSocketAddress;
    this.address = { kind, host, port, path };
    this.#sockets = sockets;
  }

  get connections(): number {
    return this.#sockets.connections;
  }

  get refused(): number {
    return this.#sockets.refused;
  }

  close(): void {
    this.#sockets.close();
  }
}

/** One that has connected: a request to begin with, then, if it is let in, a link. */
class Knock implements LinkHandler {
  readonly #door: Door;
  readonly #accept: Accept;
  readonly #options: ListenOptions;
  #head: HeadReader | null = new HeadReader();
  #link: WebSocketLink | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(door: Door, accept: Accept, options: ListenOptions) {
    this.#door = door;
    this.#accept = accept;
    this.#options = options;
  }

  onOpen(socket: Link): void {
    const { handshakeTimeoutMs = defaultHandshakeTimeoutMs, onSlow } = this.#options;
    // Also ends a refused one that does not go.
    this.#timer = setTimeout(
      () => {
        if (this.#head) onSlow?.();
        socket.abort();
      },
      handshakeTimeoutMs - (socket.ageMs ?? 0),
    );
  }

  onBytes(socket: Link, bytes: Uint8Array): void {
    if (this.#link) this.#link.received(bytes);
    else if (this.#head) this.#listen(socket, this.#head, bytes);
  }

  onDrain(): void {
    this.#link?.drained();
  }

  onClose(_: Link, cause?: Error): void {
    clearTimeout(this.#timer);
    this.#link?.closed(cause);
  }

  #listen(socket: Link, reader: HeadReader, bytes: Uint8Array): void {
    let response: Uint8Array;
    try {
      const head = reader.push(bytes);
      if (head === null) return;
      response = acceptUpgrade(head, this.#door);
    } catch (thrown) {
      if (!(thrown instanceof HttpFault)) throw thrown;
      this.#head = null;
      if (isForeign(thrown)) this.#options.onForeign?.();
      socket.write([refusal(thrown)]);
      return socket.close();
    }
    this.#head = null;
    this.#admit(socket, response, reader.rest);
  }

  #admit(socket: Link, response: Uint8Array, rest: Uint8Array): void {
    const { kind } = this.#door.address;
    const link = new WebSocketLink(socket, {
      description: `${kind} from ${socket.remote}`,
      isDialler: false,
    });
    let handler: LinkHandler | null = null;
    try {
      handler = this.#accept(link);
    } catch (thrown) {
      reportError(asError(thrown));
    }
    if (handler === null) return socket.abort();
    clearTimeout(this.#timer);
    (socket as StreamLink).settle();
    this.#link = link;
    socket.write([response]);
    link.opened(handler);
    link.received(rest);
  }
}

/** The same error about the address that the caller knows. */
export function restated(error: unknown, socket: Address, address: Address): unknown {
  if (!(error instanceof MemblastError)) return error;
  if (error.code === "CONNECT_FAILED")
    return connectFailed(address, error.details["reason"] as ConnectReason, error.cause);
  const text = formatAddress(address);
  const details = { ...error.details, ...("address" in error.details && { address: text }) };
  return new MemblastError(
    error.code,
    error.message.replace(formatAddress(socket), text),
    details,
    error.cause,
  );
}
