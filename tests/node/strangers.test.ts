import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type MemblastError, start } from "../../src/index.ts";
import { failuresMax, holdMsMax } from "../../src/node/doors/doorkeeper.ts";
import { Node } from "../../src/node/node.ts";
import { realWorld, type World } from "../../src/node/runtime/world.ts";
import { RawFollower, type RawKey } from "./raw.ts";
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
  expect(errors.map(({ code, details }) => [code, details["reason"]])).toEqual([["PROTOCOL", "BAD_HEADER"]]);
  now = 1000;
  await crowd(2);
  expect(errors.length).toBe(2);
  expect(node.stats().links).toEqual([]);
});

describe("after ten wrong proofs from this machine", () => {
  const secret = "correct horse battery staple";
  const right = { keyId: "desk", secret };
  let folder = "";
  beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), "memblast-"))));
  afterAll(() => rmSync(folder, { recursive: true }));

  /** Waits of links that are held end when the test says so. */
  async function besieged(listen: string[]) {
    const held: (() => void)[] = [];
    const isHold = (ms: number) => ms === holdMsMax;
    const world: World = {
      ...realWorld,
      random: () => 1,
      after: (ms, action) => (isHold(ms) ? (held.push(action), () => {}) : realWorld.after(ms, action)),
    };
    const node = await Node.start("s", { listen, shape: [1], secrets: { desk: { secret } } }, world);
    node.on("error", () => {});
    const wrong: RawKey = { keyId: "desk", sign: () => new Uint8Array(32) };
    for (let i = 0; i < failuresMax; i++) {
      using raw = await RawFollower.connect(node.addresses[0]!);
      await raw.join(`guess ${i}`, wrong).catch(() => {});
      expect(raw.of("ERROR")[0]!.code).toBe("AUTH");
    }
    return { node, held, wrong };
  }

  test.each(["127.0.0.1:0", "ws://127.0.0.1:0/", "unix:door"])(
    "whoever comes by %s waits a little, and is then judged by what he says",
    async (kind) => {
      const address = kind.replace("door", `${folder}/door`);
      const { node, held, wrong } = await besieged([address]);
      await using _ = node;
      const [server] = node.addresses;
      using guess = await RawFollower.connect(server!);
      const guessed = guess.join("guess", wrong).catch(() => "out");
      await using honest = await start("f", { server: server!, secret: right, shape: [1] });
      await until(() => held.length === 2, "both to be held");
      expect(node.stats().links.map(({ state }) => state)).toEqual(["connecting", "connecting"]);
      expect(node.stats().door).toMatchObject({ failedProofs: failuresMax, held: 2, turnedAway: 0 });
      held[1]!();
      await honest.ready;
      expect(node.stats().door.failedProofs).toBe(failuresMax); // the other one is still held
      held[0]!();
      expect(await guessed).toBe("out");
      expect(node.stats().door.failedProofs).toBe(failuresMax + 1);
    },
  );

  test("who comes by a unix socket does not wait for the sake of others, nor who comes by another one", async () => {
    const files = ["a", "b"].map((name) => `unix:${folder}/${name}`);
    const { node, held } = await besieged(["127.0.0.1:0", ...files]);
    await using _ = node;
    for (const server of files) {
      await using honest = await start("f", { server, secret: right, shape: [1] });
      await honest.ready;
    }
    expect(held.length).toBe(0);
  });

  test("a link that is gone is held no longer", async () => {
    const { node, held } = await besieged(["127.0.0.1:0"]);
    const raw = await RawFollower.connect(node.addresses[0]!);
    await until(() => held.length === 1, "it to be held");
    await node.close();
    held[0]!(); // nothing happens
    await until(() => raw.isClosed, "its end");
  });
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
