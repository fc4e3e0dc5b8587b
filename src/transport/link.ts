import type { MemblastError } from "../errors.ts";
import type { Address } from "./address.ts";
import type { Crowding, Places } from "./places.ts";
import type { TlsOptions } from "./tls.ts";

/**
 * One connection, seen as two byte streams. Bytes arrive whole and in order or the link ends; how they are cut into
 * pieces means nothing. Every implementation passes the same suite (tests/transport/contract.ts).
 *
 * No verb calls a handler before it returns: what follows from it is reported in a later job.
 */
export interface Link {
  /** For people: "tcp to 127.0.0.1:7010", "tcp from 127.0.0.1:53422". */
  readonly description: string;
  /** The other end's address as text, without a scheme for TCP; of a unix socket, the path that was dialled. */
  readonly remote: string;
  /** "closing" from `close()` until the end has been reached, then "closed". */
  readonly state: LinkState;
  /** Milliseconds since the socket was there: TLS and the upgrade to a WebSocket have taken some of them. Absent: none. */
  readonly ageMs?: number;
  /** Bytes accepted by `write` that have not been handed to the system yet. */
  readonly queuedBytes: number;

  /**
   * Takes all the parts, in order. The bytes must stay unchanged until `queuedBytes` is 0 again: large parts are
   * borrowed, not copied. False means that the other side does not keep up and that `onDrain` will say when all is
   * gone; what was written is queued nevertheless, and so would be more, without a limit: stop. True means go on.
   * On a link that is closing or closed nothing is taken and false comes back; `onClose` tells, or has told.
   */
  write(parts: readonly Uint8Array[]): boolean;

  /** Stops `onBytes` at once, until `resume`; the other side then feels it as backpressure. A pause hides the other side's end, too. */
  pause(): void;
  resume(): void;

  /**
   * Ends in good order: sends what is queued, then the end mark, and waits for the other side's, for at most
   * `closeTimeoutMs`. From now on arriving bytes are thrown away, and `onClose` is the only event left.
   */
  close(): void;

  /**
   * Ends at once; what is queued is lost. `onClose` gets the cause. The other side sees a broken link, except on a unix
   * socket, which knows no reset: there it sees an end in good order.
   */
  abort(cause?: Error): void;
}

export type LinkState = "open" | "closing" | "closed";

/**
 * What a link reports. An error thrown in here aborts that link, with the error as the cause; it never travels further.
 */
export interface LinkHandler {
  /** First of all events; for TLS after the handshake. */
  onOpen?(link: Link): void;
  /** The bytes are the receiver's to keep: no buffer is used twice. */
  onBytes(link: Link, bytes: Uint8Array): void;
  /** After a `write` that returned false: everything has been handed over, write again. */
  onDrain?(link: Link): void;
  /**
   * Exactly once, and last. Without a cause both sides ended in good order; with one the link broke, and bytes of
   * either direction may be missing: LINK_CLOSED, or what was given to `abort` or thrown by a handler.
   */
  onClose(link: Link, cause?: Error): void;
}

/** Chooses who handles an arriving link, before its `onOpen`; null refuses it: it is closed at once, without an event. */
export type Accept = (link: Link) => LinkHandler | null;

export interface ListenOptions {
  /**
   * Links of this listener at one time, 1 or more; default 1024. More are accepted and closed at once, and so is whoever comes
   * while the process has links for all but 64 of the files it may open, or fewer than 16 files left; but before that the one is
   * sent away that has been shaking hands for the longest time. With fewer than 4 files left the listener itself is closed until
   * there are 16 again, because one that may not accept spins.
   */
  readonly connectionsMax?: number;
  /** In place of `connectionsMax`: what this listener shares with others. */
  readonly places?: Places;
  /** A link was turned away. */
  readonly onRefused?: (why: Crowding) => void;
  /** No file is left: nobody is let in until there are some again. */
  readonly onExhausted?: () => void;
  /** It could not be opened again where it had to be closed: somebody else has the address. It goes on trying. */
  readonly onError?: (error: MemblastError) => void;
  /** How long `close()` of a link may take, ms. Default 5000. */
  readonly closeTimeoutMs?: number;
  /** How long the TLS handshake and the upgrade to a WebSocket may take together, ms. Default 2500. */
  readonly handshakeTimeoutMs?: number;
  /** The link goes on to shake hands: whoever handles it says when it is settled. */
  readonly settlesLater?: boolean;
  /** For `tls:` and `wss:`, needed there: `cert` and `key` at least. */
  readonly tls?: TlsOptions;
  /** A link did not come through the handshakes in time. */
  readonly onSlow?: () => void;
  /** A link was refused by TLS: it shows no certificate or an untrusted one, or speaks no version from 1.2 on. */
  readonly onUntrusted?: (error: MemblastError) => void;
  /** An upgrade to a WebSocket was refused because of its Host or its Origin. */
  readonly onForeign?: () => void;
  /** What to send, before it is closed, on a link whose certificate is not trusted. */
  readonly lastWord?: (why: string) => readonly Uint8Array[];
  /**
   * For `ws:` and `wss:`: origins ("https://example.org") of the web pages that may connect, "*" for all. Default: pages from
   * the same host, whatever their port, and from this machine. What is no browser has no origin and is let in.
   */
  readonly origins?: readonly string[];
  /** For `ws:` and `wss:`: names by which it may be called besides its address and those of this machine. */
  readonly hosts?: readonly string[];
}

export interface ConnectOptions {
  /** From the call until the link is open, name look-up and TLS handshake included, ms. Default 5000. */
  readonly timeoutMs?: number;
  /** Calls off the attempt; once the link is open it has no effect. */
  readonly signal?: AbortSignal;
  /** How long `close()` of the link may take, ms. Default 5000. */
  readonly closeTimeoutMs?: number;
  /** For `tls:` and `wss:`. The other side's certificate is verified by default. */
  readonly tls?: TlsOptions;
}

export interface Listener {
  /** Where it listens, with the real port where 0 was asked for. */
  readonly address: Address;
  /** Links that it has accepted and that are not closed. */
  readonly connections: number;
  /** Links that it has turned away because there were too many. */
  readonly refused: number;
  /**
   * Accepts no more, and ends links that have not come through TLS or the upgrade to a WebSocket; a unix socket's file is removed.
   * Links that stand are left alone. May be called twice.
   */
  close(): void;
}

/** Opens links: real ones (`endpoint.ts`) or simulated ones (`loopback.ts`). */
export interface Transport {
  /**
   * Rejects with ADDRESS_IN_USE where the port or socket file is taken by a live listener, INVALID_ADDRESS where
   * this machine cannot listen there, INVALID_OPTION.
   */
  listen(address: Address, accept: Accept, options?: ListenOptions): Promise<Listener>;
  /**
   * Resolves after `onOpen`. Rejects with CONNECT_FAILED, whose `details.reason` is "refused", "timeout", "aborted",
   * "unknown host", "unreachable", "closed", "tls", "upgrade" or "system", and with REFUSED where the answer
   * to an upgrade is 403 or 421; then no handler is ever called.
   */
  connect(address: Address, handler: LinkHandler, options?: ConnectOptions): Promise<Link>;
}

export const defaultCloseTimeoutMs = 5000;
export const defaultConnectTimeoutMs = 5000;
export const defaultHandshakeTimeoutMs = 2500;
export const defaultConnectionsMax = 1024;
