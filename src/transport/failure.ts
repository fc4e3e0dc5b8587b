import { MemblastError } from "../errors.ts";
import { type Address, type AddressKind, formatAddress } from "./address.ts";
import { type HttpFault, NotHttp } from "./http_head.ts";

/** Why a connection could not be made: `details.reason` of CONNECT_FAILED. docs/errors.md explains each. */
export const connectReasons = [
  "refused",
  "timeout",
  "aborted",
  "unknown host",
  "unreachable",
  "closed",
  "tls",
  "upgrade",
  "system",
] as const;

export type ConnectReason = (typeof connectReasons)[number];

const advice: Record<Exclude<ConnectReason, "closed">, string> = {
  refused: "nothing listens there: start the other side, or check the address",
  timeout: "no answer came in time: check the address and any firewall, or allow more time",
  aborted: "the attempt was called off",
  "unknown host": "the host's name is not known: check its spelling and the name service",
  unreachable: "there is no way to that network or host: check the address and the route",
  tls: "the TLS handshake failed: check the certificate, its name and dates, and the `ca` it is verified by",
  upgrade: "the other side did not take up the WebSocket",
  system: "the system refuses it",
};

const reasons: Record<string, ConnectReason> = {
  ECONNREFUSED: "refused",
  // of a unix socket: no such file
  ENOENT: "refused",
  ENOTFOUND: "unknown host",
  EAI_AGAIN: "unknown host",
  ETIMEDOUT: "timeout",
  ENETUNREACH: "unreachable",
  EHOSTUNREACH: "unreachable",
  ECONNRESET: "closed",
  ECONNABORTED: "closed",
  EPIPE: "closed",
};

/** Why, by what the system says. */
export function reasonOf(error: unknown): ConnectReason {
  return reasons[codeOf(error) ?? ""] ?? "system";
}

/** What TLS says when it hears something else, or the HTTP of who does not speak it either. */
const notTls: ReadonlySet<string | undefined> = new Set(["WRONG_VERSION_NUMBER", "HTTP_REQUEST"]);

/** How the address of a side that speaks no TLS, or no HTTP, may begin, by how the one began that was dialled. */
const withoutTls: Partial<Record<AddressKind, string>> = {
  tls: "without tls:, or with ws:",
  wss: "with ws:, or without wss:",
};
const withoutHttp: Partial<Record<AddressKind, string>> = {
  ws: "without ws:",
  wss: "with tls: instead of wss:",
};

/** CONNECT_FAILED; `details`: address, reason, and `systemCode` where the system or TLS gave one. */
export function connectFailed(address: Address, reason: ConnectReason, cause?: unknown): MemblastError {
  const text = formatAddress(address);
  const systemCode = codeOf(cause);
  return new MemblastError(
    "CONNECT_FAILED",
    `No connection to ${text}: ${adviceFor(address, reason, cause)}.`,
    { address: text, reason, ...(systemCode && { systemCode }) },
    cause,
  );
}

function adviceFor(address: Address, reason: ConnectReason, cause: unknown): string {
  if (reason === "closed") return `the other side closed it at once: ${whyClosed(address)}`;
  if (reason === "tls" && notTls.has(codeOf(cause)))
    return `the other side does not speak TLS: its address may begin ${withoutTls[address.kind]}`;
  if (reason === "upgrade" && cause instanceof NotHttp)
    return `the other side does not speak HTTP: its address may begin ${withoutHttp[address.kind]}`;
  const isTold = reason === "tls" || reason === "upgrade" || reason === "system";
  const said = cause instanceof Error && isTold ? ` (${cause.message.replace(/\.$/, "")})` : "";
  return advice[reason] + said;
}

/** What is likely where somebody closes a link without a word. */
export function whyClosed({ kind }: Address): string {
  const crowded = "it may have too many links";
  if (kind === "unix") return crowded;
  if (kind === "tls" || kind === "wss") return `${crowded}, or not speak TLS`;
  return `${crowded}, or speak TLS (then its address begins with ${kind === "ws" ? "wss: or tls:" : "tls: or wss:"})`;
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
  if (error instanceof MemblastError) return error.details["systemCode"] as string | undefined;
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
