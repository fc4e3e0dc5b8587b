import { readFileSync } from "node:fs";
import { MemblastError } from "../errors.ts";
import { type Address, formatAddress, formatEndpoint } from "./address.ts";
import type { StreamAddress } from "./dialler.ts";
import { addressInUse, asError, codeOf } from "./failure.ts";
import {
  type Accept,
  defaultCloseTimeoutMs,
  defaultConnectionsMax,
  defaultHandshakeTimeoutMs,
  type Listener,
  type ListenOptions,
} from "./link.ts";
import { bindSocketFile, type SocketFile } from "./socketfile.ts";
import { streamEvents, StreamLink, type StreamSocket } from "./stream.ts";
import { badCredentials, listenTls } from "./tls.ts";

/** Files that a process needs for other things than links: segments, modules, pipes. */
const filesReserved = 64;

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

class StreamListener implements Listener {
  #address: StreamAddress;
  readonly #accept: Accept;
  readonly #options: ListenOptions;
  readonly #connectionsMax: number;
  #server: Bun.SocketListener<StreamLink | undefined> | null = null;
  #file: SocketFile<unknown> | null = null;
  readonly #handshakes = new Map<StreamLink, ReturnType<typeof setTimeout>>();
  readonly #processMax = filesMaxOfProcess() - filesReserved;
  #connections = 0;
  #refused = 0;

  constructor(address: StreamAddress, accept: Accept, options: ListenOptions) {
    this.#address = address;
    this.#accept = accept;
    this.#options = options;
    this.#connectionsMax = options.connectionsMax ?? defaultConnectionsMax;
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
    try {
      if (this.#address.kind === "unix") await this.#bindFile(this.#address);
      else this.#bindPort(this.#address);
    } catch (error) {
      throw listenFailed(this.#address, error);
    }
  }

  close(): void {
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
        handshake: (socket: StreamSocket, success: boolean) => this.#shookHands(socket, success),
      }),
    });
  }

  #arrived(socket: StreamSocket): void {
    if (this.#connections >= this.#connectionsMax || StreamLink.open >= this.#processMax) {
      this.#refused++;
      return void socket.terminate();
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
      ended: () => {
        this.#connections--;
        this.#handshakeOver(link);
      },
    });
    socket.data = link;
    if (kind !== "unix") socket.setNoDelay(true);
    if (kind === "tls") this.#awaitHandshake(link);
    else this.#admit(link);
  }

  /** Bun itself would wait for ever. */
  #awaitHandshake(link: StreamLink): void {
    const timer = setTimeout(
      () => link.abort(),
      this.#options.handshakeTimeoutMs ?? defaultHandshakeTimeoutMs,
    );
    this.#handshakes.set(link, timer);
  }

  #handshakeOver(link: StreamLink): void {
    clearTimeout(this.#handshakes.get(link));
    this.#handshakes.delete(link);
  }

  #shookHands(socket: StreamSocket, success: boolean): void {
    const link = socket.data;
    if (!link || link.state !== "open") return;
    this.#handshakeOver(link);
    // Without a certificate asked for, `authorized` is false and means nothing.
    const trusted = success && (this.#options.tls?.clientCertificates !== true || socket.authorized);
    if (trusted) this.#admit(link);
    else link.abort();
  }

  #admit(link: StreamLink): void {
    try {
      const handler = this.#accept(link);
      if (handler) link.opened(handler);
      else link.abort();
    } catch (thrown) {
      link.abort();
      reportError(asError(thrown));
    }
  }
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

/** The soft limit on open files, of which every link is one. */
function filesMaxOfProcess(): number {
  try {
    const soft = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
    if (soft !== undefined) return Number(soft);
  } catch {
    // no /proc: assume what systems commonly allow
  }
  return 1024;
}
