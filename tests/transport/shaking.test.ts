import { expect, setDefaultTimeout, test } from "bun:test";
import type { Address } from "../../src/transport/address.ts";
import { systemTransport } from "../../src/transport/endpoint.ts";
import { until } from "../node/until.ts";
import { certificates } from "./certificates.ts";
import { Recorder } from "./recorder.ts";

setDefaultTimeout(30_000);

const at = { host: "127.0.0.1", port: 0 };
const requestHalf = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n";

const doors: [name: string, address: Address, says: string][] = [
  ["tls, silent", { kind: "tls", ...at }, ""],
  ["ws, silent", { kind: "ws", ...at, path: "/" }, ""],
  ["ws, in the middle of its request", { kind: "ws", ...at, path: "/" }, requestHalf],
  ["wss, silent", { kind: "wss", ...at, path: "/" }, ""],
];

test.each(doors)("a listener that closes ends links that shake hands: %s", async (_, address, says) => {
  const far = new Recorder();
  const options = { tls: certificates.server, handshakeTimeoutMs: 1e8, closeTimeoutMs: 1e8 };
  const listener = await systemTransport.listen(address, () => far, options);
  const gone = Promise.withResolvers<void>();
  const { port } = listener.address as { port: number };
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: { data() {}, close: () => gone.resolve(), error() {} },
  });
  socket.write(says);
  await until(() => listener.connections === 1, "the link");
  listener.close();
  await gone.promise;
  await until(() => listener.connections === 0, "its end at the listener");
  expect(far.events).toEqual([]);
});
