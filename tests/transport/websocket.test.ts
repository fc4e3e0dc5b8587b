import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Address } from "../../src/transport/address.ts";
import { systemTransport } from "../../src/transport/endpoint.ts";
import type { Listener, ListenOptions } from "../../src/transport/link.ts";
import { certificates } from "./certificates.ts";
import { linkContract } from "./contract.ts";
import { Random } from "./random.ts";
import { Recorder } from "./recorder.ts";

setDefaultTimeout(30_000);

const megabyte = 1024 * 1024;

linkContract("a WebSocket", {
  transport: systemTransport,
  address: () => ({ kind: "ws", host: "127.0.0.1", port: 0, path: "/" }),
  bulkBytes: 32 * megabyte,
  floodBytes: 8 * megabyte,
  tellsAborts: true,
});

linkContract("a WebSocket over TLS", {
  transport: systemTransport,
  address: () => ({ kind: "wss", host: "127.0.0.1", port: 0, path: "/node" }),
  listenOptions: { tls: certificates.server },
  connectOptions: { tls: { ca: certificates.authority } },
  bulkBytes: 16 * megabyte,
  floodBytes: 8 * megabyte,
  tellsAborts: true,
});

const anyPort: Address = { kind: "ws", host: "127.0.0.1", port: 0, path: "/" };
const listeners: Listener[] = [];
const servers: Bun.Server<unknown>[] = [];
afterAll(() => {
  for (const listener of listeners) listener.close();
  for (const server of servers) void server.stop(true);
});

async function listen(far: Recorder, options: ListenOptions = {}) {
  const listener = await systemTransport.listen(anyPort, () => far, options);
  listeners.push(listener);
  return (listener.address as { port: number }).port;
}

/** Bun's own WebSocket, as another implementation of the other end. */
async function dial(port: number) {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/`);
  socket.binaryType = "arraybuffer";
  const messages: Uint8Array[] = [];
  const closed = Promise.withResolvers<CloseEvent>();
  socket.onmessage = ({ data }) => messages.push(new Uint8Array(data as ArrayBuffer));
  socket.onclose = closed.resolve;
  await new Promise((resolve) => (socket.onopen = resolve));
  return { socket, messages, closed: closed.promise, bytes: () => new Uint8Array(Buffer.concat(messages)) };
}

function serve(websocket: Partial<Bun.WebSocketHandler<undefined>>): number {
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: (request, self) => (self.upgrade(request) ? undefined : new Response("no")),
    websocket: { message() {}, perMessageDeflate: true, ...websocket },
  });
  servers.push(server as Bun.Server<unknown>);
  return server.port!;
}

const connect = (port: number, near: Recorder) =>
  systemTransport.connect({ kind: "ws", host: "127.0.0.1", port, path: "/" }, near);

describe("with Bun's own WebSockets at the other end", () => {
  test("bytes go both ways in messages of every length of length", async () => {
    const random = new Random();
    const far = new Recorder({ onBytes: (link, bytes) => void link.write([bytes]) });
    const { socket, bytes } = await dial(await listen(far));
    const sent: Uint8Array[] = [];
    for (const length of [0, 1, 125, 126, 127, 65_535, 65_536, 200_000]) {
      const message = random.bytes(length).slice();
      sent.push(message);
      socket.send(message);
    }
    const all = new Uint8Array(Buffer.concat(sent));
    await far.until(() => far.receivedBytes === all.length);
    while (bytes().length < all.length) await Bun.sleep(1);
    expect(bytes()).toEqual(all);
    socket.close();
    expect(await far.closed.promise).toBeUndefined();
  });

  test("close is clean, whoever says it first", async () => {
    const far = new Recorder();
    const first = await dial(await listen(far));
    first.socket.close(1000, "enough");
    expect(await far.closed.promise).toBeUndefined();
    expect(await first.closed).toMatchObject({ code: 1000, wasClean: true });

    const near = new Recorder();
    const second = await dial(await listen(near));
    const link = await near.opened.promise;
    link.write([new Uint8Array(3_000_000).fill(7)]);
    link.close();
    expect(await second.closed).toMatchObject({ code: 1000, wasClean: true });
    expect(second.bytes().length).toBe(3_000_000);
    expect(second.messages.length).toBeGreaterThan(1);
    expect(await near.closed.promise).toBeUndefined();
  });

  test("one that is cut off, or ends without a word, is a broken link", async () => {
    const far = new Recorder();
    const { socket } = await dial(await listen(far));
    (socket as unknown as { terminate(): void }).terminate();
    expect(await far.closed.promise).toMatchObject({ code: "LINK_CLOSED" });
  });

  test("text and unknown close codes end it with a cause, and the other side hears why", async () => {
    const far = new Recorder();
    const { socket, closed } = await dial(await listen(far));
    socket.send("text");
    expect(await closed).toMatchObject({ code: 1003 });
    expect(await far.closed.promise).toMatchObject({ code: "LINK_CLOSED", details: { closeCode: 1003 } });

    const other = new Recorder();
    const second = await dial(await listen(other));
    second.socket.close(4001, "for reasons");
    expect(await other.closed.promise).toMatchObject({ code: "LINK_CLOSED", details: { closeCode: 4001 } });
  });

  test("as a dialler, against a server that offers compression and pings", async () => {
    const got: Buffer[] = [];
    const pongs: string[] = [];
    const port = serve({
      open: (ws) => void ws.ping("abc"),
      message(ws, message) {
        got.push(message as Buffer);
        ws.sendBinary(message as Buffer, true);
      },
      pong: (_, data) => void pongs.push(data.toString()),
    });
    const near = new Recorder();
    const link = await connect(port, near);
    const sent = new Random().bytes(300_000);
    link.write([sent.subarray(0, 10), sent.subarray(10, 100_000)]);
    link.write([sent.subarray(100_000)]);
    await near.until(() => near.receivedBytes === sent.length);
    expect(near.received()).toEqual(sent);
    expect(Bun.hash(Buffer.concat(got as Uint8Array[]))).toBe(Bun.hash(sent));
    expect(pongs).toEqual(["abc"]);
    link.close();
    expect(await near.closed.promise).toBeUndefined();
  });

  test("a frame that promises too much is refused before any of it is held", async () => {
    const far = new Recorder();
    const port = await listen(far);
    const socket = await rawUpgrade(port);
    socket.write(Uint8Array.of(0x82, 0xff, 0, 0, 1, 0, 0, 0, 0, 0, 1, 2, 3, 4));
    expect(await far.closed.promise).toMatchObject({ code: "LINK_CLOSED", details: { closeCode: 1009 } });
    socket.terminate();
  });

  test("a thousand pings to a side that cannot answer leave one answer waiting", async () => {
    const far = new Recorder();
    const port = await listen(far);
    const socket = await rawUpgrade(port);
    const link = await far.opened.promise;
    socket.pause();
    while (link.write([new Uint8Array(1_000_000)]));
    await Bun.sleep(5);
    const before = link.queuedBytes;
    for (let i = 0; i < 1000; i++) socket.write(Uint8Array.of(0x89, 0x81, 0, 0, 0, 0, i & 255));
    await Bun.sleep(30);
    expect(link.queuedBytes).toBeLessThanOrEqual(before);
    expect(before).toBeGreaterThan(0);
    link.abort();
    socket.terminate();
  });
});

async function rawUpgrade(port: number): Promise<Bun.Socket<undefined>> {
  const answered = Promise.withResolvers<void>();
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: { data: () => answered.resolve(), error() {} },
  });
  socket.write(
    "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
  );
  await answered.promise;
  return socket;
}
