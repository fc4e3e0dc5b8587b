import { MemblastError } from "../errors.ts";
import { type Address, formatAddress, formatEndpoint } from "./address.ts";
import { descriptors, type Suspendable } from "./descriptors.ts";
import type { StreamAddress } from "./dialler.ts";
import { addressInUse, asError, codeOf, NoCertificate, tlsReason, untrusted } from "./failure.ts";
import {
  type Accept,
  defaultCloseTimeoutMs,
  defaultConnectionsMax,
  defaultHandshakeTimeoutMs,
  type Listener,
  type ListenOptions,
} from "./link.ts";
import { type Crowding, type Place, Places } from "./places.ts";
import { bindSocketFile, fromAnywhere, type SocketFile } from "./socketfile.ts";
import { streamEvents, StreamLink, type StreamSocket } from "./stream.ts";
import { badCredentials, listenTls } from "./tls.ts";

/** {@link Transport.listen} over TCP, TLS and unix sockets. */
export async function listenStream(
  address: StreamAddress,
  accept: Accept,
  options: ListenOptions = {},
): Promise<Listener> {
  const listener = new StreamListener(address, accept, options);
  await listener.start();
  return listener;
}

/** How long one that is not trusted may take to read why, ms. */
const lastWordMs = 250;

class StreamListener implements Listener, Suspendable {
  #address: StreamAddress;
  readonly #accept: Accept;
  readonly #options: ListenOptions;
  readonly #places: Places;
  #server: Bun.SocketListener<StreamLink | undefined> | null = null;
  #file: SocketFile<unknown> | null = null;
  readonly #handshakes = new Map<StreamLink, ReturnType<typeof setTimeout>>();
  /** Links that have not come through TLS or the upgrade to a WebSocket. */
  readonly #unsettled = new Set<StreamLink>();
  #connections = 0;
  #refused = 0;
  #isClosed = false;
  /** Closed for as long as there are no files to be had. */
  #isSuspended = false;
  #isResuming = false;

  constructor(address: StreamAddress, accept: Accept, options: ListenOptions) {
    this.#address = address.kind === "unix" ? fromAnywhere(address) : address;
    this.#accept = accept;
    this.#options = options;
    this.#places = options.places ?? new Places(options.connectionsMax ?? defaultConnectionsMax);
  }

  get address(): Address {
    return this.#address;
  }

  get connections(): number {
    return this.#connections;
  }

  get refused(): number {
    return this.#refused;
  }

  async start(): Promise<void> {
    await this.#bind();
    descriptors.add(this);
  }

  close(): void {
    this.#isClosed = true;
    descriptors.remove(this);
    this.#unbind();
    for (const link of this.#unsettled) link.abort();
  }

  suspend(): void {
    if (this.#isSuspended) return;
    this.#isSuspended = true;
    this.#options.onExhausted?.();
    this.#unbind();
  }

  resume(): void {
    if (!this.#isSuspended || this.#isResuming) return;
    this.#isResuming = true;
    this.#bind().then(
      () => {
        this.#isResuming = this.#isSuspended = this.#hasFailed = false;
        if (this.#isClosed) this.#unbind();
      },
      (error) => {
        this.#isResuming = false;
        this.#failed(error as MemblastError);
      },
    );
  }

  /** Somebody else has taken the address meanwhile: said once, and tried again. */
  #failed(error: MemblastError): void {
    if (this.#hasFailed || this.#isClosed) return;
    this.#hasFailed = true;
    this.#options.onError?.(error);
  }
  #hasFailed = false;

  async #bind(): Promise<void> {
    try {
      if (this.#address.kind === "unix") await this.#bindFile(this.#address);
      else this.#bindPort(this.#address);
    } catch (error) {
      throw listenFailed(this.#address, error);
    }
  }

  #unbind(): void {
    const server = this.#server;
    this.#server = null;
    server?.stop();
    this.#file?.remove();
    this.#file = null;
  }

  #bindPort(address: Extract<StreamAddress, { host: string }>): void {
    const tls = address.kind === "tls" ? listenTls(this.#options.tls) : undefined;
    const server = Bun.listen<StreamLink | undefined>({
      hostname: address.host,
      port: address.port,
      exclusive: true,
      ...(tls && { tls }),
      socket: this.#events(),
    });
    this.#server = server;
    this.#address = { ...address, port: server.port };
  }

  async #bindFile(address: Extract<StreamAddress, { kind: "unix" }>): Promise<void> {
    const socket = this.#events();
    const file = await bindSocketFile(address, (path) =>
      Bun.listen<StreamLink | undefined>({ unix: path, socket }),
    );
    this.#server = file.bound;
    this.#file = file;
  }

  #events(): Bun.SocketHandler<StreamLink | undefined> {
    return streamEvents({
      open: (socket) => this.#arrived(socket),
      ...(this.#address.kind === "tls" && {
        handshake: (socket: StreamSocket, success: boolean, error: Error | null) =>
          this.#shookHands(socket, success, error),
      }),
    });
  }

  #arrived(socket: StreamSocket): void {
    if (this.#isClosed || hasGone(socket, this.#address)) return void socket.terminate();
    const place = this.#takePlace(() => link.abort());
    if (typeof place === "string") {
      this.#refused++;
      socket.terminate();
      return this.#options.onRefused?.(place);
    }
    this.#connections++;
    const kind = this.#address.kind;
    const remote =
      kind === "unix"
        ? formatAddress(this.#address)
        : formatEndpoint(socket.remoteAddress, socket.remotePort);
    const link: StreamLink = new StreamLink(socket, {
      description: kind === "unix" ? `unix at ${this.#address.path}` : `${kind} from ${remote}`,
      remote,
      closeTimeoutMs: this.#options.closeTimeoutMs ?? defaultCloseTimeoutMs,
      settled: () => {
        this.#unsettled.delete(link);
        place.settle();
      },
      ended: () => {
        this.#connections--;
        this.#unsettled.delete(link);
        place.leave();
        this.#handshakeOver(link);
      },
    });
    socket.data = link;
    this.#unsettled.add(link);
    if (kind !== "unix") socket.setNoDelay(true);
    if (kind === "tls") this.#awaitHandshake(link);
    else this.#admit(link);
  }

  #takePlace(evict: () => void): Place | Crowding {
    const isScarce = StreamLink.open >= descriptors.linksMax || descriptors.isScarce;
    if (isScarce && !this.#places.evictOldest()) return "files";
    return this.#places.take(evict) ?? "connections";
  }

  /** Bun itself would wait for ever. */
  #awaitHandshake(link: StreamLink): void {
    const { onSlow, handshakeTimeoutMs = defaultHandshakeTimeoutMs } = this.#options;
    const timer = setTimeout(() => {
      onSlow?.();
      link.abort();
    }, handshakeTimeoutMs);
    this.#handshakes.set(link, timer);
  }

  #handshakeOver(link: StreamLink): void {
    clearTimeout(this.#handshakes.get(link));
    this.#handshakes.delete(link);
  }

  #shookHands(socket: StreamSocket, success: boolean, error: Error | null): void {
    const link = socket.data;
    if (!link || link.state !== "open") return;
    this.#handshakeOver(link);
    // Without a certificate asked for, `authorized` is false and means nothing.
    if (success && (this.#options.tls?.clientCertificates !== true || socket.authorized))
      return this.#admit(link);
    const cause = success && !hasCertificate(socket) ? new NoCertificate() : error;
    // Who hangs up in mid-handshake has something against our certificate, or is just passing.
    if (codeOf(cause) !== "ECONNRESET") this.#options.onUntrusted?.(untrusted(link.remote, cause));
    if (success) this.#sendAway(link, tlsReason(cause));
    else link.abort();
  }

  /** TLS 1.3 has no word for it any more once both sides have shaken hands. */
  #sendAway(link: StreamLink, why: string): void {
    const timer = setTimeout(() => link.abort(), lastWordMs);
    link.opened({ onBytes() {}, onClose: () => clearTimeout(timer) });
    const word = this.#options.lastWord?.(
      `This node lets in who shows a certificate that it trusts: ${why}.`,
    );
    if (word) link.write(word);
    link.close();
  }

  #admit(link: StreamLink): void {
    try {
      const handler = this.#accept(link);
      if (!this.#options.settlesLater) link.settle();
      if (handler) link.opened(handler);
      else link.abort();
    } catch (thrown) {
      link.abort();
      reportError(asError(thrown));
    }
  }
}

/** Who was reset before we came to accept it has no address any more, and would take its place for good. */
function hasGone(socket: StreamSocket, { kind }: StreamAddress): boolean {
  return kind !== "unix" && (socket.remoteAddress as string | undefined) === undefined;
}

function hasCertificate(socket: StreamSocket): boolean {
  return (socket.getPeerCertificate() as unknown) !== undefined;
}

function listenFailed(address: StreamAddress, error: unknown): unknown {
  if (error instanceof MemblastError) return error;
  const unusable = badCredentials(error);
  if (unusable) return unusable;
  const code = codeOf(error);
  const text = formatAddress(address);
  if (code === "EADDRINUSE")
    return addressInUse(address, "the port is taken; choose another, or stop what listens there", error);
  const details = { address: text, ...(code && { systemCode: code }) };
  if (code === "EACCES" || code === "EPERM") {
    return new MemblastError("SYSTEM", `Cannot listen on ${text}: not permitted (${code}).`, details, error);
  }
  const advice = address.kind === "unix" ? "does its folder exist?" : "is that an address of this machine?";
  const said = error instanceof Error ? error.message : String(error);
  return new MemblastError(
    "INVALID_ADDRESS",
    `Cannot listen on ${text}: ${advice} (${code ?? said})`,
    details,
    error,
  );
}
