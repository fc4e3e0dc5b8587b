import { expect, setDefaultTimeout, test } from "bun:test";
import type { Socket } from "bun";
import { type MemblastError, start } from "../../src/index.ts";
import { certificates } from "../transport/certificates.ts";
import { until } from "./until.ts";

setDefaultTimeout(30_000);

// Followers that dialled the wrong thing: what they are told has to help.

/** For addresses of TLS. */
function withTls<Tls>(address: string, tls: Tls): { tls?: Tls } {
  return /^(tls|wss):/.test(address) ? { tls } : {};
}

async function firstError(server: string): Promise<MemblastError> {
  const errors: MemblastError[] = [];
  await using _ = await start("f", {
    server,
    shape: [1],
    ...withTls(server, { ca: certificates.authority }),
    onError: (error) => void errors.push(error),
  });
  await until(() => errors.length > 0, "the failure");
  return errors[0]!;
}

const nameBoth = /too many links, or speak TLS \(then its address begins with tls: or wss:\)/;

test.each([
  ["", "tls:127.0.0.1:0", "closed", nameBoth],
  ["", "wss://127.0.0.1:0/", "closed", nameBoth],
  ["", "ws://127.0.0.1:0/", "BAD_HEADER", /The other side speaks HTTP: its address may begin with ws:/],
  ["ws://", "127.0.0.1:0", "upgrade", /does not speak HTTP: its address may begin without ws:\.$/],
  ["ws://", "wss://127.0.0.1:0/", "closed", /or speak TLS \(then its address begins with wss: or tls:\)/],
  ["tls:", "127.0.0.1:0", "tls", /does not speak TLS: its address may begin without tls:, or with ws:/],
  ["tls:", "ws://127.0.0.1:0/", "tls", /does not speak TLS: its address may begin without tls:, or with ws:/],
  ["tls:", "wss://127.0.0.1:0/", "BAD_HEADER", /speaks HTTP: its .* with ws:, or with wss: instead of tls:/],
  ["wss://", "ws://127.0.0.1:0/", "tls", /does not speak TLS: its address may begin with ws:, or without/],
  ["wss://", "tls:127.0.0.1:0", "upgrade", /speak HTTP: its address may begin with tls: instead of wss:\.$/],
])("by %p at a door for %s", async (scheme, listen, reason, says) => {
  await using server = await start("s", { listen, shape: [1], ...withTls(listen, certificates.server) });
  server.on("error", () => {});
  const error = await firstError(`${scheme}127.0.0.1:${/:(\d+)\/?$/.exec(server.addresses[0]!)![1]}`);
  const code = reason === "BAD_HEADER" ? "PROTOCOL" : "CONNECT_FAILED";
  expect(error).toMatchObject({ code, details: { reason } });
  expect(error.message).toMatch(says);
  expect(error.message).not.toMatch(/certificate/);
});

test("a web page at a plain door: its node hears what is wrong with it", async () => {
  const errors: string[] = [];
  await using server = await start("s", {
    listen: 0,
    shape: [1],
    onError: ({ message }) => errors.push(message),
  });
  await fetch(`http://${server.addresses[0]}/`).catch(() => {});
  await until(() => errors.length > 0, "the complaint");
  expect(errors[0]).toMatch(/speaks HTTP: an address for WebSockets begins with ws: or wss:, and this one/);
});

test.each(["tls:", "wss://"])("at a full %s door", async (scheme) => {
  const full = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { open: end, data() {} } });
  const error = await firstError(`${scheme}127.0.0.1:${full.port}`);
  expect(error).toMatchObject({ code: "CONNECT_FAILED", details: { reason: "closed" } });
  expect(error.message).toMatch(/closed it at once: it may have too many links/);
  full.stop(true);
});

function end(socket: Socket): void {
  socket.terminate();
}

test.each<[string, (socket: Bun.ServerWebSocket) => void, RegExp]>([
  ["sends text", (socket) => void socket.send("hello"), /it sent text, .*is a memblast node there\?$/],
  ["has its own reasons", (socket) => socket.close(1008), /with code 1008\): is a memblast node there\?$/],
  ["says nothing", (socket) => socket.terminate(), /too many links, or be no memblast node\.$/],
])("at a WebSocket that %s", async (_, open, says) => {
  const door = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request, self) => (self.upgrade(request) ? undefined : new Response("no")),
    websocket: { open, message() {} },
  });
  const error = await firstError(`ws://127.0.0.1:${door.port}/`);
  expect(error).toMatchObject({ code: "CONNECT_FAILED", details: { reason: "closed" } });
  expect(error.message).toMatch(says);
  await door.stop(true);
});
