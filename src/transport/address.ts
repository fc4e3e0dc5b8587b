import { fail } from "../errors.ts";

/** Where a node listens or what it follows. `port` 0 asks the system for a free one and is for listening only. */
export type Address =
  | { readonly kind: "tcp" | "tls"; readonly host: string; readonly port: number }
  | { readonly kind: "unix"; readonly path: string }
  | { readonly kind: "ws" | "wss"; readonly host: string; readonly port: number; readonly path: string };

export type AddressKind = Address["kind"];

/** Longest path of a unix socket in bytes: `sun_path` holds 108 with its terminating zero. */
export const socketPathBytesMax = 107;

const expected =
  'a port (7010), "host:port", "[::1]:7010", "unix:/path", "tls:host:port", "ws://host:port" or "wss://host:port"';

/**
 * Reads an address as a user writes it. A bare number and `:port` mean this machine (127.0.0.1), never every
 * interface: for that, say `0.0.0.0:port` or `[::]:port`. Without a port, `ws://` means 80 and `wss://` 443.
 * Throws INVALID_ADDRESS, naming what was wrong and what would do.
 */
export function parseAddress(text: string | number): Address {
  if (typeof text === "number") return { kind: "tcp", host: "127.0.0.1", port: checkPort(text, text) };
  if (typeof text !== "string") return refuse(text, "is neither a string nor a number");
  const trimmed = text.trim();
  const scheme = /^(tcp|tls|unix|wss?):/i.exec(trimmed)?.[1]?.toLowerCase();
  if (scheme === undefined) refuseScheme(trimmed);
  const rest = scheme === undefined ? trimmed : trimmed.slice(scheme.length + 1);
  switch (scheme) {
    case "unix":
      return { kind: "unix", path: checkPath(text, rest) };
    case "ws":
    case "wss":
      return parseWebSocket(text, scheme, rest);
    case "tls":
      return { kind: "tls", ...parseEndpoint(text, rest.replace(/^\/\//, "")) };
    default:
      return { kind: "tcp", ...parseEndpoint(text, rest.replace(/^\/\//, "")) };
  }
}

/** The canonical spelling; `parseAddress(formatAddress(a))` equals `a`. */
export function formatAddress(address: Address): string {
  switch (address.kind) {
    case "tcp":
      return formatEndpoint(address.host, address.port);
    case "tls":
      return `tls:${formatEndpoint(address.host, address.port)}`;
    case "unix":
      return `unix:${address.path}`;
    case "ws":
    case "wss":
      return `${address.kind}://${formatEndpoint(address.host, address.port)}${address.path}`;
  }
}

/** Whether what travels to and from there is encrypted. */
export function isTls({ kind }: Address): boolean {
  return kind === "tls" || kind === "wss";
}

/** `host:port`, with brackets where the host is an IPv6 address. */
export function formatEndpoint(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/**
 * Whether only this machine can reach the address: 127.0.0.0/8, `::1` (also as `::ffff:127.x.y.z`), `localhost` and
 * unix sockets. Every other name counts as foreign, whatever it resolves to at the moment.
 */
export function isLoopback(address: Address): boolean {
  if (address.kind === "unix") return true;
  const host = address.host;
  if (host === "localhost") return true;
  const v4 = parseIPv4(host);
  if (v4) return v4[0] === 127;
  const groups = parseIPv6(host);
  if (!groups || groups.slice(0, 5).some((group) => group !== 0)) return false;
  if (groups[5] === 0xffff) return groups[6]! >> 8 === 127;
  return groups[5] === 0 && groups[6] === 0 && groups[7] === 1;
}

/** What was copied from a browser's address bar is meant for a WebSocket. */
function refuseScheme(text: string): void {
  const [, scheme, rest] = /^([a-z][a-z0-9+.-]*):\/\/(.*)$/i.exec(text) ?? [];
  if (scheme === undefined) return;
  const wanted = { http: "ws", https: "wss" }[scheme.toLowerCase()];
  const advice = wanted ? `: write ${wanted}://${rest}` : "";
  refuse(text, `cannot be used: ${scheme}: is not a scheme of memblast${advice}`);
}

function refuse(text: unknown, why: string): never {
  return fail("INVALID_ADDRESS", `The address ${JSON.stringify(text)} ${why}; expected ${expected}.`, {
    address: text,
  });
}

function parseEndpoint(text: string, endpoint: string): { host: string; port: number } {
  if (/^\d+$/.test(endpoint)) return { host: "127.0.0.1", port: checkPort(text, endpoint) };
  const match = /^(?:\[([^\]]*)\]|([^:[\]]*)):(\d+)$/.exec(endpoint);
  if (match) {
    const host =
      match[1] === undefined ? checkHost(text, match[2] || "127.0.0.1") : checkIPv6(text, match[1]);
    return { host, port: checkPort(text, match[3]!) };
  }
  if (parseIPv6(endpoint) || parseIPv6(endpoint.replace(/:\d+$/, "")))
    refuse(text, "needs its IPv6 host in brackets");
  return refuse(text, /:\d*$/.test(endpoint) ? "has no usable host and port" : "has no port");
}

function parseWebSocket(text: string, kind: "ws" | "wss", rest: string): Address {
  if (!rest.startsWith("//")) refuse(text, `lacks the two slashes after ${kind}:`);
  const match = /^\/\/([^/?#]*)([^?#]*)(.*)$/.exec(rest)!;
  const authority = match[1]!;
  if (authority.includes("@")) refuse(text, "carries a user or password, which would end up in logs");
  if (match[3]) refuse(text, "has a query or fragment, which memblast does not use");
  if (/[\s\p{Cc}]/u.test(match[2]!)) refuse(text, "has a blank or control character in its path");
  const ported = /:\d+$/.test(authority) && !/\[[^\]]*$/.test(authority);
  const endpoint = ported ? authority : `${authority}:${kind === "ws" ? 80 : 443}`;
  if (endpoint.startsWith(":") && !ported) refuse(text, "has no host");
  return { kind, ...parseEndpoint(text, endpoint), path: match[2] || "/" };
}

function checkPort(text: unknown, port: string | number): number {
  const value = Number(port);
  if (!Number.isInteger(value) || value < 0 || value > 65535) refuse(text, "has a port outside 0 to 65535");
  return value;
}

function checkPath(text: string, path: string): string {
  if (path === "") refuse(text, "names no file");
  if (path.includes("\0")) refuse(text, "has a zero byte in its path");
  const bytes = new TextEncoder().encode(path).length;
  if (bytes > socketPathBytesMax) {
    refuse(text, `has a path of ${bytes} bytes where a unix socket may have ${socketPathBytesMax}`);
  }
  return path;
}

function checkHost(text: string, host: string): string {
  const lower = host.toLowerCase();
  if (/^[\d.]+$/.test(lower)) {
    if (!parseIPv4(lower)) refuse(text, "has a host that is not a whole IPv4 address");
    return lower;
  }
  const labels = lower.replace(/\.$/, "").split(".");
  const proper = labels.every((label) => /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/.test(label));
  if (!proper || lower.length > 253) refuse(text, "has a host that is no name");
  return lower;
}

function checkIPv6(text: string, host: string): string {
  const lower = host.toLowerCase();
  if (!parseIPv6(lower)) refuse(text, "has no IPv6 address between its brackets");
  return lower;
}

function parseIPv4(text: string): number[] | null {
  const octets = text.split(".");
  if (octets.length !== 4) return null;
  // Leading zeros are refused: some resolvers read them as octal.
  if (!octets.every((octet) => /^(0|[1-9]\d{0,2})$/.test(octet) && Number(octet) <= 255)) return null;
  return octets.map(Number);
}

/** The eight 16-bit groups, or null. A zone (`%eth0`) is allowed and not part of them. */
function parseIPv6(text: string): number[] | null {
  const [address, zone] = text.split("%", 2) as [string, string?];
  if (zone !== undefined && !/^[a-z0-9._-]+$/i.test(zone)) return null;
  const halves = address.split("::");
  if (halves.length > 2) return null;
  const head = parseGroups(halves[0]!, halves.length === 1);
  const tail = halves.length === 2 ? parseGroups(halves[1]!, true) : [];
  if (!head || !tail) return null;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return null;
  return [...head, ...Array<number>(missing).fill(0), ...tail];
}

function parseGroups(text: string, mayEndInIPv4: boolean): number[] | null {
  if (text === "") return [];
  const words = text.split(":");
  const groups: number[] = [];
  for (const [i, word] of words.entries()) {
    const v4 = mayEndInIPv4 && i === words.length - 1 ? parseIPv4(word) : null;
    if (v4) groups.push(v4[0]! * 256 + v4[1]!, v4[2]! * 256 + v4[3]!);
    else if (/^[0-9a-f]{1,4}$/i.test(word)) groups.push(Number.parseInt(word, 16));
    else return null;
  }
  return groups;
}
