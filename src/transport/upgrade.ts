import { type Address, formatEndpoint, isLoopback } from "./address.ts";
import { type Head, HttpFault, listHas } from "./http_head.ts";

/** The opening handshake of a WebSocket, RFC 6455 section 4, and who is let in by it. */

export type WebSocketAddress = Extract<Address, { kind: "ws" | "wss" }>;

/** Who may come in by a listener. */
export interface Door {
  readonly address: WebSocketAddress;
  /** Origins of the pages that may connect; "*" is any. Undefined: pages of the same host, and of this machine. */
  readonly origins: readonly string[] | undefined;
  /** Names by which the listener may be called, besides those of this machine and the address it listens on. */
  readonly hosts: readonly string[];
}

const encoder = new TextEncoder();
const version = "13";
const keyPattern = /^[A-Za-z0-9+/]{21}[AQgw]==$/;

const reasons: Record<number, string> = {
  400: "Bad Request",
  403: "Forbidden",
  421: "Misdirected Request",
  426: "Upgrade Required",
  431: "Request Header Fields Too Large",
};

/** The response that lets a request in. Throws the {@link HttpFault} that keeps it out. */
export function acceptUpgrade(head: Head, door: Door): Uint8Array {
  const [, method, target = ""] =
    /^([A-Z]+) (\S+) HTTP\/1\.1$/.exec(head.start) ?? refuse("This is not HTTP/1.1.");
  checkHost(head, door);
  const path = target.split("?")[0];
  const isUpgrade = listHas(head, "upgrade", "websocket") && listHas(head, "connection", "upgrade");
  if (method !== "GET" || path !== pathOf(door.address) || !isUpgrade)
    throw new HttpFault(
      426,
      `A memblast node is here, at ${door.address.kind}://.../${pathOf(door.address).slice(1)}: connect to it with a WebSocket.`,
    );
  if (head.fields.get("sec-websocket-version") !== version)
    throw new HttpFault(426, `Version ${version} of the WebSocket protocol is spoken here.`);
  const key = head.fields.get("sec-websocket-key") ?? "";
  if (!keyPattern.test(key)) refuse("Sec-WebSocket-Key is not 16 bytes in base64.");
  if (head.fields.has("transfer-encoding") || (head.fields.get("content-length") ?? "0") !== "0")
    refuse("An upgrade has no body.");
  checkOrigin(head, door);
  return encoder.encode(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${acceptOf(key)}\r\n\r\n`,
  );
}

/** Whether it keeps a request out because of who makes it, or the name it came by: the same one will be kept out again. */
export function isForeign({ status }: HttpFault): boolean {
  return status === 403 || status === 421;
}

/** A short text with this status; the connection ends behind it. */
export function refusal({ status, message }: HttpFault): Uint8Array {
  const upgrade = status === 426 ? `Upgrade: websocket\r\nSec-WebSocket-Version: ${version}\r\n` : "";
  const text = `${message}\n`;
  return encoder.encode(
    `HTTP/1.1 ${status} ${reasons[status]}\r\n${upgrade}Connection: close\r\n` +
      "Content-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\n" +
      `Content-Length: ${encoder.encode(text).byteLength}\r\n\r\n${text}`,
  );
}

/** A web page may have any name point to this machine: a request by a name that is not ours comes from such a page. */
function checkHost(head: Head, { address, hosts }: Door): void {
  const given = head.fields.get("host") ?? refuse("The Host field is missing.");
  const host = hostOf(`http://${given}`) ?? refuse("The Host field is no host.");
  const known = [address.host, ...hosts].some((name) => sameHost(name, host));
  const isAddress = /^[\d.]+$/.test(host) || host.includes(":");
  // Whoever listens on every interface cannot know its names, but no name server has a say in what an address means.
  const isWild = address.host === "0.0.0.0" || /^[:0]+$/.test(address.host);
  if (known || isLocal(host) || (isWild && isAddress)) return;
  throw new HttpFault(421, "This node does not go by that name: list it in the option `hosts`.");
}

/** Browsers let any page connect to anywhere and only say whose page it is; everything that is no browser says nothing. */
function checkOrigin(head: Head, { origins }: Door): void {
  const origin = head.fields.get("origin");
  if (origin === undefined) {
    if (!head.fields.get("user-agent")?.startsWith("Mozilla/")) return;
    throw new HttpFault(403, "A browser's request without an Origin.");
  }
  if (origins?.includes("*")) return;
  const isAllowed = origins
    ? origins.some((each) => each === origin || originOf(each) === origin)
    : isOwnPage(origin, hostOf(`http://${head.fields.get("host")}`)!);
  if (isAllowed) return;
  if (origin === "null")
    throw new HttpFault(403, "A page without an origin of its own, like a file: serve it from an address.");
  throw new HttpFault(403, "Pages of this origin may not connect: list it in the option `origins`.");
}

function isOwnPage(origin: string, host: string): boolean {
  if (!/^https?:\/\/[^/]+$/.test(origin)) return false;
  const own = hostOf(origin);
  return own !== null && (sameHost(own, host) || isLocal(own));
}

function isLocal(host: string): boolean {
  return isLoopback({ kind: "tcp", host, port: 0 });
}

function sameHost(a: string, b: string): boolean {
  return hostOf(`http://${formatEndpoint(a, 80)}`) === b;
}

/** In lower case, without port, brackets and a last dot; null for what is no host. */
function hostOf(url: string): string | null {
  if (!URL.canParse(url)) return null;
  const { hostname, username, pathname } = new URL(url);
  if (username !== "" || pathname !== "/" || hostname === "") return null;
  return hostname.replace(/^\[(.*)\]$/, "$1").replace(/\.$/, "");
}

/**
 * As a browser says it. The standard gives addresses of apps and extensions the origin "null", which every file and every sandboxed page
 * has as well; browsers say their scheme and host. Null: none of its own.
 */
function originOf(text: string): string | null {
  if (!URL.canParse(text)) return null;
  const { origin, protocol, host } = new URL(text);
  if (origin !== "null") return origin;
  return host === "" ? null : `${protocol}//${host}`;
}

/** Whether a request could be for this host: a name or an address, without scheme, port and brackets. */
export function isHost(text: string): boolean {
  return !/[\s/?#@*[\]\\]/.test(text) && hostOf(`http://${formatEndpoint(text, 80)}`) !== null;
}

/** Whether a page could be of this origin. "null" is that of many, "*" stands for all. */
export function isOrigin(text: string): boolean {
  if (text === "*" || text === "null") return true;
  return /^[a-z][a-z0-9+.-]*:\/\/[^\s/?#@*\\]+\/?$/i.test(text) && URL.canParse(text);
}

function refuse(text: string): never {
  throw new HttpFault(400, text);
}

/** The path as it stands in a request. */
function pathOf({ path }: WebSocketAddress): string {
  return new URL(`http://host${path}`).pathname;
}

/** 16 random bytes in base64. */
export function newKey(): string {
  return crypto.getRandomValues(new Uint8Array(16)).toBase64();
}

/** What a dialler says first. */
export function upgradeRequest(address: WebSocketAddress, key: string): Uint8Array {
  const isUsual = address.port === (address.kind === "ws" ? 80 : 443);
  const endpoint = formatEndpoint(address.host, address.port);
  const host = isUsual ? endpoint.replace(/:\d+$/, "") : endpoint;
  return encoder.encode(
    `GET ${pathOf(address)} HTTP/1.1\r\nHost: ${host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
      `Sec-WebSocket-Key: ${key}\r\nSec-WebSocket-Version: ${version}\r\nUser-Agent: memblast\r\n\r\n`,
  );
}

/** Throws an {@link HttpFault} that says what came instead of the upgrade. `rest` is what came behind the head. */
export function checkResponse(head: Head, key: string, rest: Uint8Array): void {
  const [, status, reason = ""] =
    /^HTTP\/1\.1 (\d{3}) ?(.*)$/.exec(head.start) ?? refuse("The answer is not HTTP/1.1.");
  if (status !== "101") {
    const said = new TextDecoder()
      .decode(rest.subarray(0, 300))
      .replaceAll(/[\p{C}\s]+/gu, " ")
      .trim();
    const isText = head.fields.get("content-type")?.startsWith("text/plain");
    throw new HttpFault(Number(status), `${status} ${reason}${isText && said ? `: ${said}` : ""}`);
  }
  const { fields } = head;
  if (!listHas(head, "upgrade", "websocket") || !listHas(head, "connection", "upgrade"))
    refuse("It switched to another protocol.");
  if (fields.get("sec-websocket-accept") !== acceptOf(key)) refuse("Its Sec-WebSocket-Accept is wrong.");
  if (fields.has("sec-websocket-extensions") || fields.has("sec-websocket-protocol"))
    refuse("It chose an extension that was not offered.");
}

function acceptOf(key: string): string {
  const hash = new Bun.CryptoHasher("sha1");
  return hash.update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
}
