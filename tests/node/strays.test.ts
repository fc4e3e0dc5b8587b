import { expect, setDefaultTimeout, test } from "bun:test";
import type { Socket } from "bun";
import { type MemblastError, start } from "../../src/index.ts";
import { certificates } from "../transport/certificates.ts";
import { until } from "./until.ts";

setDefaultTimeout(30_000);

// Followers that dialled the wrong thing: what they are told has to help.

const tls = { ca: certificates.authority };

async function firstError(server: string): Promise<MemblastError> {
  const errors: MemblastError[] = [];
  await using _ = await start("f", {
    server,
    shape: [1],
    tls,
    onError: (error) => void errors.push(error),
  });
  await until(() => errors.length > 0, "the failure");
  return errors[0]!;
}

test.each([
  ["", "tls:127.0.0.1:0", "closed", /too many links, or speak TLS \(then its address begins with tls:\)/],
  [
    "ws://",
    "wss://127.0.0.1:0/",
    "closed",
    /too many links, or speak TLS \(then its address begins with wss:\)/,
  ],
  ["tls:", "127.0.0.1:0", "tls", /does not speak TLS: its address may begin without tls:/],
  ["wss://", "ws://127.0.0.1:0/", "tls", /does not speak TLS: its address may begin with ws:/],
])("by %p at a door for %s", async (scheme, listen, reason, says) => {
  await using server = await start("s", { listen, shape: [1], tls: { ...certificates.server } });
  server.on("error", () => {});
  const error = await firstError(`${scheme}127.0.0.1:${/:(\d+)\/?$/.exec(server.addresses[0]!)![1]}`);
  expect(error).toMatchObject({ code: "CONNECT_FAILED", details: { reason } });
  expect(error.message).toMatch(says);
  expect(error.message).not.toMatch(/certificate/);
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
