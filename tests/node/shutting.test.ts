import { expect, setDefaultTimeout, test } from "bun:test";
import { connect } from "node:net";
import { type MemblastError, type Node, start } from "../../src/index.ts";
import { Node as NodeOf } from "../../src/node/node.ts";
import { realWorld, type World } from "../../src/node/runtime/world.ts";
import type { Accept } from "../../src/transport/link.ts";
import { until } from "./until.ts";

setDefaultTimeout(30_000);

const upgrade =
  "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

function portOf(node: Node): number {
  return Number(/:(\d+)\/?$/.exec(node.addresses[0]!)![1]);
}

test("a node that is closed lets in nobody who was at its door", async () => {
  const errors: MemblastError[] = [];
  const node = await start("s", {
    listen: "ws://127.0.0.1:0/",
    shape: [3],
    onError: (error) => void errors.push(error),
  });
  let heard = "";
  const socket = connect(portOf(node), "127.0.0.1");
  socket.on("data", (bytes) => void (heard += bytes.toString()));
  socket.on("error", () => {});
  const gone = new Promise((resolve) => socket.on("close", resolve));
  await until(() => node.stats().door.strangers === 1, "the link");
  await node.close();
  socket.write(upgrade);
  await gone;
  expect([heard, errors]).toEqual(["", []]);
});

test.each(["one", "many"] as const)("also not who comes through late (writers: %s)", async (writers) => {
  const accepts: Accept[] = [];
  const waits: number[] = [];
  const world: World = {
    ...realWorld,
    after: (ms, action) => (waits.push(ms), realWorld.after(ms, action)),
    transport: {
      ...realWorld.transport,
      listen: (address, accept, options) => (
        accepts.push(accept),
        realWorld.transport.listen(address, accept, options)
      ),
    },
  };
  const name = `shutting-${process.pid}`;
  const node = await NodeOf.start(name, { listen: 0, shape: [3], share: true, writers }, world);
  const errors: MemblastError[] = [];
  node.on("error", (error) => errors.push(error));
  await node.close();
  waits.length = 0;
  expect(accepts[0]!({ remote: "127.0.0.1:1" } as Parameters<Accept>[0])).toBeNull();
  expect([waits, errors]).toEqual([[], []]); // nothing of it is tried again
});

test("a process ends by itself after its node was closed, whoever stood at the door", async () => {
  const script = `
    const { start } = await import(${JSON.stringify(import.meta.resolve("../../src/index.ts"))});
    const node = await start("shutting-" + process.pid, { listen: "ws://127.0.0.1:0/", shape: [3], share: true, writers: "many" });
    const socket = require("node:net").connect(Number(new URL(node.addresses[0]).port), "127.0.0.1");
    socket.on("error", () => {});
    while (node.stats().door.strangers === 0) await Bun.sleep(1);
    await node.close();
    socket.write(${JSON.stringify(upgrade)});
    setTimeout(() => socket.destroy(), 100);`;
  const child = Bun.spawn([process.execPath, "-e", script], { stdout: "pipe", stderr: "pipe" });
  expect(await child.exited).toBe(0);
  expect(await new Response(child.stderr).text()).toBe("");
});
