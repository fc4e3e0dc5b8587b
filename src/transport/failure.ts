import { MemblastError } from "../errors.ts";
import { type Address, formatAddress } from "./address.ts";
import type { HttpFault } from "./http_head.ts";

/** Why a connection could not be made: `details.reason` of CONNECT_FAILED. */
export type ConnectReason =
  | "refused"
  | "timeout"
  | "aborted"
  | "unknown host"
  | "unreachable"
  | "closed"
  | "tls"
  | "upgrade"
  | "system";

const advice: Record<ConnectReason, string> = {
  refused: "nothing listens there: start the other side, or check the address",
  timeout: "no answer came in time: check the address and any firewall, or allow more time",
  aborted: "the attempt was called off",
  "unknown host": "the host's name is not known: check its spelling and the name service",
  unreachable: "there is no way to that network or host: check the address and the route",
  closed: "the other side closed it at once: it may have too many links",
  tls: "the TLS handshake failed: check the certificate, its name and dates, and the `ca` it is verified by",
  upgrade: "the other side did not take up the WebSocket",
  system: "the system refused: see the cause",
};

/** CONNECT_FAILED; `details`: address, reason, and `systemCode` where the system or TLS gave one. */
export function connectFailed(address: Address, reason: ConnectReason, cause?: unknown): MemblastError {
  const text = formatAddress(address);
  const systemCode = codeOf(cause);
  const isTold = reason === "tls" || reason === "upgrade";
  const said = cause instanceof Error && isTold ? ` (${cause.message.replace(/\.$/, "")})` : "";
  return new MemblastError(
    "CONNECT_FAILED",
    `No connection to ${text}: ${advice[reason]}${said}.`,
    { address: text, reason, ...(systemCode && { systemCode }) },
    cause,
  );
}

/** REFUSED, by the answer to an upgrade; `details`: address, reason and status. */
export function upgradeRefused(address: Address, { status, message }: HttpFault): MemblastError {
  const text = formatAddress(address);
  return new MemblastError("REFUSED", `${text} does not let this node in: ${message.replace(/\.$/, "")}.`, {
    address: text,
    reason: "upgrade",
    status,
  });
}

export function addressInUse(address: Address, why: string, cause?: unknown): MemblastError {
  const text = formatAddress(address);
  return new MemblastError(
    "ADDRESS_IN_USE",
    `Cannot listen on ${text}: ${why}.`,
    {
      address: text,
      ...("port" in address && { port: address.port }),
      ...("path" in address && { path: address.path }),
    },
    cause,
  );
}

/** LINK_CLOSED, the cause that a broken link is closed with. */
export function linkClosed(
  description: string,
  why: string,
  details: Record<string, unknown> = {},
  cause?: unknown,
): MemblastError {
  const systemCode = codeOf(cause);
  return new MemblastError(
    "LINK_CLOSED",
    `The link ${description} ended: ${why}.`,
    { link: description, ...details, ...(systemCode && { systemCode }) },
    cause,
  );
}

/**
 * The error's `code` where it has a textual one, such as "ECONNRESET"; of one that TLS reports as EPROTO, what it is about, such as
 * "TLSV1_ALERT_CERTIFICATE_REQUIRED"; of one of our own, the system's code that it tells.
 */
export function codeOf(error: unknown): string | undefined {
  if (error instanceof MemblastError) return error.details.systemCode as string | undefined;
  const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown };
  if (typeof code !== "string") return undefined;
  return (code === "EPROTO" && /OPENSSL_internal:([A-Z0-9_]+)/.exec(String(message))?.[1]) || code;
}

/** Whether the other side has ended the link by saying what it has against our certificate, or our version of TLS. */
export function isTlsAlert(error: unknown): boolean {
  return codeOf(error)?.includes("_ALERT_") === true;
}

/** In words, as far as TLS has some. */
export function tlsReason(cause: unknown): string {
  return cause instanceof Error ? cause.message.replace(/^.*OPENSSL_internal:/, "") : "no reason given";
}

/** What BoringSSL calls it when it is the one that judges. */
export class NoCertificate extends Error {
  readonly code = "PEER_DID_NOT_RETURN_A_CERTIFICATE";

  constructor() {
    super("it shows no certificate");
  }
}

/** A link that did not come through the TLS handshake: for the side that listens. */
export function untrusted(remote: string, cause: unknown): MemblastError {
  const systemCode = codeOf(cause);
  return new MemblastError(
    "PROTOCOL",
    `A link from ${remote} was refused by TLS: ${tlsReason(cause)}`,
    { remote, reason: "TLS", ...(systemCode && { systemCode }) },
    cause,
  );
}

/** What a handler threw, as an Error. */
export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}
