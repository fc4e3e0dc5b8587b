import { fail } from "../errors.ts";
import { type Address, formatAddress, formatEndpoint } from "./address.ts";
import { connectFailed, type ConnectReason, reasonOf } from "./failure.ts";
import {
  type ConnectOptions,
  defaultCloseTimeoutMs,
  defaultConnectTimeoutMs,
  type Link,
  type LinkHandler,
} from "./link.ts";
import { streamEvents, StreamLink, type StreamSocket } from "./stream.ts";
import { badCredentials, connectTls } from "./tls.ts";

export type StreamAddress = Extract<Address, { kind: "tcp" | "tls" | "unix" }>;

// The compiler resolves Bun.connect's overloads for one kind of target only, so it gets told one.
type Target = { readonly hostname: string; readonly port: number; readonly tls?: Bun.TLSOptions };

/** {@link Transport.connect} over TCP, TLS and unix sockets. */
export function connectStream(
  address: StreamAddress,
  handler: LinkHandler,
  options: ConnectOptions = {},
): Promise<Link> {
  return new Promise((resolve, reject) => new Dial(address, handler, options, resolve, reject).start());
}

/** One attempt to connect. It is settled once; a socket that comes later is closed unseen. */
class Dial {
  readonly #address: StreamAddress;
  readonly #handler: LinkHandler;
  readonly #options: ConnectOptions;
  readonly #resolve: (link: Link) => void;
  readonly #reject: (error: Error) => void;
  #link: StreamLink | undefined;
  #settled = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #onAbort = () => this.#refuse("aborted", this.#options.signal?.reason);

  constructor(
    address: StreamAddress,
    handler: LinkHandler,
    options: ConnectOptions,
    resolve: (link: Link) => void,
    reject: (error: Error) => void,
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
    const target = targetOf(this.#address, this.#options);
    signal?.addEventListener("abort", this.#onAbort, { once: true });
    this.#timer = setTimeout(() => this.#refuse("timeout"), timeoutMs);
    // it throws some errors, such as a bad certificate, and rejects with others
    Promise.try(() => Bun.connect<StreamLink | undefined>({ ...target, socket: this.#events() })).catch(
      (error) => this.#failed(error),
    );
  }

  #events(): Bun.SocketHandler<StreamLink | undefined> {
    return streamEvents({
      open: (socket) => this.#connected(socket),
      ...(this.#address.kind === "tls" && {
        handshake: (socket: StreamSocket, success: boolean, error: Error | null) =>
          this.#shookHands(socket, success, error),
      }),
      closed: (error) => this.#refuse(isCut(error) || this.#address.kind !== "tls" ? "closed" : "tls", error),
    });
  }

  #connected(socket: StreamSocket): void {
    if (this.#settled) return void socket.terminate();
    const remote =
      this.#address.kind === "unix"
        ? formatAddress(this.#address)
        : formatEndpoint(socket.remoteAddress, socket.remotePort);
    const closeTimeoutMs = this.#options.closeTimeoutMs ?? defaultCloseTimeoutMs;
    const { kind } = this.#address;
    const where =
      kind === "unix" ? this.#address.path : formatEndpoint(this.#address.host, this.#address.port);
    const description = `${kind} to ${where}`;
    this.#link = new StreamLink(socket, { description, remote, closeTimeoutMs, ended() {} });
    socket.data = this.#link;
    if (this.#address.kind !== "unix") socket.setNoDelay(true);
    if (this.#address.kind !== "tls") this.#open();
  }

  #shookHands(socket: StreamSocket, success: boolean, error: Error | null): void {
    const trusted = success && (socket.authorized || this.#options.tls?.insecure === true);
    if (trusted) this.#open();
    else this.#refuse(!success && isCut(error) ? "closed" : "tls", error);
  }

  #open(): void {
    if (this.#settled) return;
    this.#settle();
    this.#link!.opened(this.#handler);
    this.#resolve(this.#link!);
  }

  #failed(error: unknown): void {
    const unusable = badCredentials(error);
    if (!unusable) return this.#refuse(reasonOf(error), error);
    if (this.#settled) return;
    this.#settle();
    this.#reject(unusable);
  }

  #refuse(reason: ConnectReason, cause?: unknown): void {
    if (this.#settled) return;
    this.#settle();
    this.#link?.abort();
    this.#reject(connectFailed(this.#address, reason, cause ?? undefined));
  }

  #settle(): void {
    this.#settled = true;
    clearTimeout(this.#timer);
    this.#options.signal?.removeEventListener("abort", this.#onAbort);
  }
}

/** Whether the other side has just gone, and said nothing against us. */
function isCut(error: unknown): boolean {
  return !error || reasonOf(error) === "closed";
}

function targetOf(address: StreamAddress, options: ConnectOptions): Target {
  if (address.kind === "unix") return { unix: address.path } as unknown as Target;
  const { host, port } = address;
  if (port === 0) {
    fail(
      "INVALID_ADDRESS",
      `Port 0 in ${formatAddress(address)} is for listening; connecting needs the real port.`,
      {
        address: formatAddress(address),
      },
    );
  }
  return { hostname: host, port, ...(address.kind === "tls" && { tls: connectTls(options.tls, host) }) };
}
