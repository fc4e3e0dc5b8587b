import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { connect as connectSocket } from "node:net";
import { systemTransport } from "../../src/transport/endpoint.ts";
import { headBytesMax } from "../../src/transport/http_head.ts";
import type { Address } from "../../src/transport/address.ts";
import type { Listener, ListenOptions } from "../../src/transport/link.ts";
import { acceptUpgrade, isHost, isOrigin, type WebSocketAddress } from "../../src/transport/upgrade.ts";
import { Recorder } from "./recorder.ts";

setDefaultTimeout(30_000);

const listeners: Listener[] = [];
afterAll(() => {
  for (const listener of listeners) listener.close();
});

async function listen(options: ListenOptions = {}, accept = () => new Recorder()) {
  const address: Address = { kind: "ws", host: "127.0.0.1", port: 0, path: "/node" };
  const listener = await systemTransport.listen(address, accept, options);
  listeners.push(listener);
  return { listener, port: (listener.address as { port: number }).port };
}

/** Writes the text as it is and gives back all that comes until the other side ends. */
function raw(port: number, text: string, { endsAfterHead = false } = {}): Promise<string> {
  return new Promise((resolve) => {
    let said = "";
    const socket = connectSocket(port, "127.0.0.1", () => socket.write(text, "latin1"));
    socket.on("data", (bytes) => {
      said += bytes.toString("latin1");
      if (endsAfterHead && said.includes("\r\n\r\n")) socket.destroy();
    });
    socket.on("error", () => {});
    socket.on("close", () => resolve(said));
  });
}

const key = "dGhlIHNhbXBsZSBub25jZQ==";

function request(fields: Record<string, string | undefined> = {}, start = "GET /node HTTP/1.1"): string {
  const all = {
    Host: "127.0.0.1",
    Upgrade: "websocket",
    Connection: "keep-alive, Upgrade",
    "Sec-WebSocket-Key": key,
    "Sec-WebSocket-Version": "13",
    ...fields,
  };
  const lines = Object.entries(all).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}: ${value}`],
  );
  return [start, ...lines, "", ""].join("\r\n");
}

/** The status with which a listener would answer, without a socket. */
function statusOf(
  fields: Record<string, string | undefined>,
  door: { address?: Partial<WebSocketAddress>; origins?: string[]; hosts?: string[] } = {},
): number {
  const address: WebSocketAddress = { kind: "ws", host: "127.0.0.1", port: 7012, path: "/", ...door.address };
  const given = { host: "127.0.0.1:7012", upgrade: "websocket", connection: "Upgrade", ...fields };
  const all = { "sec-websocket-key": key, "sec-websocket-version": "13", ...given };
  const map = new Map(Object.entries(all).filter((each): each is [string, string] => each[1] !== undefined));
  try {
    acceptUpgrade(
      { start: "GET / HTTP/1.1", fields: map },
      { address, origins: door.origins, hosts: door.hosts ?? [] },
    );
    return 101;
  } catch (fault) {
    return (fault as { status: number }).status;
  }
}

describe("the door of a WebSocket listener", () => {
  const browser = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36";

  test.each<[string, Record<string, string>, number]>([
    ["no origin, as programs have it", {}, 101],
    ["a page of the same host", { origin: "http://127.0.0.1:5000" }, 101],
    ["a page of localhost", { origin: "http://localhost:5000" }, 101],
    ["a page of this machine, IPv6", { origin: "http://[::1]:8080" }, 101],
    ["a page of somebody else", { origin: "http://evil.example" }, 403],
    ["one whose name starts like ours", { origin: "http://127.0.0.1.evil.example" }, 403],
    ["one that names us as its user", { origin: "http://127.0.0.1@evil.example" }, 403],
    ["a page without an origin of its own", { origin: "null" }, 403],
    ["a file", { origin: "file://" }, 403],
    ["an extension", { origin: "chrome-extension://abcdefghijklmnop" }, 403],
    ["an empty origin", { origin: "" }, 403],
    ["nonsense", { origin: "http://" }, 403],
    ["two origins", { origin: "http://localhost http://evil.example" }, 403],
    ["a browser that says no origin", { "user-agent": browser }, 403],
  ])("origin: %s", (_, fields, status) => {
    expect(statusOf(fields)).toBe(status);
  });

  test("a list of origins stands in place of the usual ones", () => {
    const door = { origins: ["https://app.example", "http://10.0.0.5:8080/"] };
    expect(statusOf({ origin: "https://app.example" }, door)).toBe(101);
    expect(statusOf({ origin: "http://10.0.0.5:8080" }, door)).toBe(101);
    expect(statusOf({ origin: "http://app.example" }, door)).toBe(403);
    expect(statusOf({ origin: "https://app.example:8443" }, door)).toBe(403);
    expect(statusOf({ origin: "http://localhost:5000" }, door)).toBe(403);
    expect(statusOf({ origin: "null" }, door)).toBe(403);
    expect(statusOf({ origin: "null" }, { origins: ["null"] })).toBe(101);
    const extension = { origins: ["chrome-extension://abcdefghijklmnop/"] };
    expect(statusOf({ origin: "chrome-extension://abcdefghijklmnop" }, extension)).toBe(101);
    expect(statusOf({ origin: "chrome-extension://ponmlkjihgfedcba" }, extension)).toBe(403);
    expect(statusOf({ origin: "null" }, extension)).toBe(403); // what others without an origin say
    expect(statusOf({}, door)).toBe(101);
    expect(statusOf({ origin: "https://anybody.example" }, { origins: ["*"] })).toBe(101);
  });

  test("apps and extensions have origins, too, which let in no page that says it has none", () => {
    const door = { origins: ["tauri://localhost/", "chrome-extension://abcdefghijklmnop"] };
    expect(statusOf({ origin: "tauri://localhost" }, door)).toBe(101);
    expect(statusOf({ origin: "chrome-extension://abcdefghijklmnop" }, door)).toBe(101);
    expect(statusOf({ origin: "chrome-extension://ponmlkjihgfedcba" }, door)).toBe(403);
    expect(statusOf({ origin: "app://localhost" }, door)).toBe(403);
    expect(statusOf({ origin: "null" }, door)).toBe(403);
    for (const text of ["file:///home/page.html", "data:text/html,x", "localhost:5000"])
      expect(statusOf({ origin: "null" }, { origins: [text] })).toBe(403);
  });

  test.each<[string, string, number]>([
    ["127.0.0.1", "127.0.0.1:7012", 101],
    ["127.0.0.1", "127.0.0.1", 101],
    ["127.0.0.1", "localhost:7012", 101],
    ["127.0.0.1", "LOCALHOST.:7012", 101],
    ["127.0.0.1", "[::1]:7012", 101],
    ["127.0.0.1", "127.9.9.9:1", 101],
    ["127.0.0.1", "attacker.example", 421],
    ["127.0.0.1", "localhost.attacker.example", 421],
    ["127.0.0.1", "10.0.0.5:7012", 421],
    ["10.0.0.5", "10.0.0.5:7012", 101],
    ["data.example", "data.example:7012", 101],
    ["data.example", "other.example:7012", 421],
    ["fe80::1", "[fe80::1]:7012", 101],
    ["fe80::1", "[fe80:0:0::1]:7012", 101],
    ["0.0.0.0", "192.168.1.7:7012", 101],
    ["::", "[2001:db8::1]:7012", 101],
    ["0.0.0.0", "attacker.example:7012", 421],
    ["0.0.0.0", "mine.example:7012", 101],
    ["127.0.0.1", "", 400],
    ["127.0.0.1", "user@localhost", 400],
    ["127.0.0.1", "localhost/path", 400],
    ["127.0.0.1", "local host", 400],
  ])("listening on %s, called by the host %p: %d", (host, given, status) => {
    expect(statusOf({ host: given }, { address: { host }, hosts: ["mine.example"] })).toBe(status);
  });

  test.each([
    "vm",
    "VM.",
    "a-b.example",
    "under_score",
    "10.0.0.5",
    "::1",
    "fe80:0::1",
    "b\u00fccher.example",
  ])("the host %p can be listed, and then serves", (name) => {
    expect(isHost(name)).toBe(true);
    const { host } = new URL(`http://${name.includes(":") ? `[${name}]` : name}`); // as a browser says it
    expect(statusOf({ host }, { hosts: [name] })).toBe(101);
  });

  test.each([
    "https://app.example",
    "http://10.0.0.5:8080/",
    "HTTP://APP",
    "http://[::1]:5",
    "moz-extension://a-b",
  ])("the origin %p can be listed, and then serves", (name) => {
    expect(isOrigin(name)).toBe(true);
    const { origin } = new URL(name);
    expect(statusOf({ origin: origin === "null" ? name : origin }, { origins: [name] })).toBe(101);
  });

  test("the host is looked at before anything else, on every path", async () => {
    const { port } = await listen();
    for (const path of ["/", "/node", "/metrics", "/index.html"])
      for (const upgrade of ["websocket", undefined])
        expect(
          await raw(port, request({ Host: "attacker.example", Upgrade: upgrade }, `GET ${path} HTTP/1.1`)),
        ).toStartWith("HTTP/1.1 421 ");
  });

  test("a real browser's upgrade goes through, with the answer of the RFC's example", async () => {
    const { port } = await listen();
    const said = await raw(port, request({ Origin: "http://localhost:5000", "User-Agent": browser }), {
      endsAfterHead: true,
    });
    expect(said).toStartWith("HTTP/1.1 101 ");
    expect(said).toContain("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    expect(said).not.toContain("Extensions");
  });

  test.each<[string, string, number]>([
    ["a page asked for", request({ Upgrade: undefined }), 426],
    ["another path", request({}, "GET /other HTTP/1.1"), 426],
    ["another method", request({}, "POST /node HTTP/1.1"), 426],
    ["another protocol", request({ Upgrade: "h2c" }), 426],
    ["no word of it in Connection", request({ Connection: "keep-alive" }), 426],
    ["an old version", request({ "Sec-WebSocket-Version": "8" }), 426],
    ["a query", request({}, "GET /node?token=1 HTTP/1.1"), 101],
    ["no key", request({ "Sec-WebSocket-Key": undefined }), 400],
    ["a key that is too short", request({ "Sec-WebSocket-Key": "YWJj" }), 400],
    ["a body", request({ "Content-Length": "5" }), 400],
    ["a chunked body", request({ "Transfer-Encoding": "chunked" }), 400],
    ["two hosts", request({ Host: "127.0.0.1\r\nHost: evil.example" }), 400],
    ["two origins", request({ Origin: "http://localhost\r\nOrigin: http://evil.example" }), 400],
    ["HTTP/1.0", request({}, "GET /node HTTP/1.0"), 400],
    ["no HTTP", "\x16\x03\x01\x02\x00\x01\x00", 400],
    ["a memblast frame", "o\0\0\0\x01\0\0\0", 400],
    ["a folded field", request({ "X-A": "b\r\n c" }), 400],
    ["a zero byte", request({ "X-A": "b\0c" }), 400],
    ["a head without an end", `GET /node HTTP/1.1\r\nX: ${"x".repeat(headBytesMax)}`, 431],
  ])("%s", async (_, text, status) => {
    const { port } = await listen();
    const said = await raw(port, text, { endsAfterHead: status === 101 });
    expect(said).toStartWith(`HTTP/1.1 ${status} `);
    if (status !== 101) expect(said).toContain("Connection: close");
    if (status === 426) expect(said).toContain("Upgrade: websocket");
  });

  test("a head that comes a byte at a time is read; one that never ends is cut off", async () => {
    const { port, listener } = await listen({ handshakeTimeoutMs: 60 });
    const text = request();
    const said = await new Promise<string>((resolve) => {
      const socket = connectSocket(port, "127.0.0.1", async () => {
        socket.setNoDelay(true);
        for (const byte of text) {
          socket.write(byte);
          await new Promise(setImmediate);
        }
      });
      socket.once("data", (bytes) => resolve(bytes.toString()));
      socket.on("error", () => {});
    });
    expect(said).toStartWith("HTTP/1.1 101 ");
    expect(await raw(port, "GET /node HTTP/1.1\r\n")).toBe("");
    expect(listener.connections).toBeLessThanOrEqual(1);
  });
});

describe("dialling", () => {
  let server: Bun.Server<unknown>;
  beforeAll(() => {
    server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch(request) {
        const { pathname } = new URL(request.url);
        if (pathname === "/forbidden") return new Response("Not for you.\u0007", { status: 403 });
        if (pathname === "/lies") return lie({ "Sec-WebSocket-Accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" });
        return new Response("<h1>hello</h1>", { headers: { "content-type": "text/html" } });
      },
    });
  });
  afterAll(() => server.stop(true));
  const lie = (headers: Record<string, string>) =>
    new Response(null, { status: 101, headers: { Upgrade: "websocket", Connection: "Upgrade", ...headers } });

  const failure = (path: string, port = server.port!) =>
    systemTransport
      .connect({ kind: "ws", host: "127.0.0.1", port, path }, new Recorder(), { timeoutMs: 1000 })
      .catch((error) => error);

  test("tells what came instead of an upgrade", async () => {
    expect(await failure("/")).toMatchObject({
      code: "CONNECT_FAILED",
      details: { reason: "upgrade", status: 200, address: `ws://127.0.0.1:${server.port}/` },
    });
    const forbidden = await failure("/forbidden");
    expect(forbidden).toMatchObject({ code: "REFUSED", details: { reason: "upgrade", status: 403 } });
    expect(forbidden.message).toContain("403");
    expect(forbidden.message).toContain("Not for you");
    expect(forbidden.message).not.toContain("\u0007");
  });

  test("believes no answer that was not made for its key", async () => {
    const error = await failure("/lies");
    expect(error).toMatchObject({ code: "CONNECT_FAILED" });
    expect(["upgrade", "closed"]).toContain(error.details.reason);
  });

  test("the listener's reason reaches whoever dials", async () => {
    const { port } = await listen();
    const error = await failure("/elsewhere", port);
    expect(error).toMatchObject({ details: { reason: "upgrade", status: 426 } });
    expect(error.message).toContain("/node");
  });

  test("a raw TCP listener is no WebSocket", async () => {
    const tcp = await systemTransport.listen(
      { kind: "tcp", host: "127.0.0.1", port: 0 },
      () => new Recorder({ onBytes: (link) => void link.write([Uint8Array.of(111, 0, 0, 0)]) }),
    );
    listeners.push(tcp);
    const { port } = tcp.address as { port: number };
    expect(await failure("/", port)).toMatchObject({ details: { reason: "upgrade" } });
  });

  test("one that never answers is a time-out", async () => {
    const mute = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    const near = new Recorder();
    const attempt = systemTransport.connect(
      { kind: "ws", host: "127.0.0.1", port: mute.port, path: "/" },
      near,
      {
        timeoutMs: 30,
      },
    );
    expect(await attempt.catch((error) => error)).toMatchObject({ details: { reason: "timeout" } });
    expect(near.events).toEqual([]);
    mute.stop(true);
  });
});
