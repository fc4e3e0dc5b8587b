import { expect, setDefaultTimeout, test } from "bun:test";
import { connect } from "node:net";
import type { MemblastError } from "../../src/index.ts";
import { Node } from "../../src/node/node.ts";
import { realWorld } from "../../src/node/world.ts";
import { until } from "./until.ts";

setDefaultTimeout(30_000);

/** Says this to a node, and gives back all that it says until it closes. */
function say(node: Node, text: string): Promise<string> {
  const port = Number(/:(\d+)\/?$/.exec(node.addresses[0]!)![1]);
  const { promise, resolve } = Promise.withResolvers<string>();
  let heard = "";
  const socket = connect(port, "127.0.0.1", () => socket.write(text));
  socket.on("data", (bytes) => void (heard += bytes.toString("latin1")));
  socket.on("error", () => {});
  socket.on("close", () => resolve(heard));
  return promise;
}

test("a crowd that says nonsense is counted, and told once a second", async () => {
  let now = 0;
  await using node = await Node.start("s", { listen: 0, shape: [1] }, { ...realWorld, now: () => now });
  const errors: MemblastError[] = [];
  node.on("error", (error) => errors.push(error));
  const crowd = async (count: number) => {
    const before = node.stats().door.faulty;
    await Promise.all(Array.from({ length: count }, () => say(node, "x".repeat(64))));
    await until(() => node.stats().door.faulty === before + count, "all of them");
  };
  await crowd(50);
  now = 999;
  await crowd(50);
  expect(errors.map(({ code, details }) => [code, details.reason])).toEqual([["PROTOCOL", "BAD_HEADER"]]);
  now = 1000;
  await crowd(2);
  expect(errors.length).toBe(2);
  expect(node.stats().links).toEqual([]);
});

test("who calls a node by another name, or from another page, is counted", async () => {
  await using node = await Node.start("s", { listen: "ws://127.0.0.1:0/", shape: [1] });
  const request = (host: string, origin: string) =>
    say(
      node,
      `GET / HTTP/1.1\r\nHost: ${host}\r\nOrigin: ${origin}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    );
  expect(await request("elsewhere.example", "http://localhost")).toStartWith("HTTP/1.1 421");
  expect(node.stats().door.foreign).toBe(1);
  expect(await request("localhost", "http://elsewhere.example")).toStartWith("HTTP/1.1 403");
  expect(node.stats().door.foreign).toBe(2);
  expect(await say(node, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")).toStartWith("HTTP/1.1 426");
  expect(node.stats().door).toMatchObject({ foreign: 2, faulty: 0, slow: 0 });
});
