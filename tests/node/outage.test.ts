import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "../../src/browser/index.ts";
import { type MemblastError, type Node, start, type StartOptions } from "../../src/index.ts";
import { certificates } from "../transport/certificates.ts";
import { codeOf, until } from "./until.ts";

setDefaultTimeout(30_000);

const fast = { reconnect: { minMs: 5, maxMs: 20 } };

let folder = "";
beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), "memblast-"))));
afterEach(() => rmSync(folder, { recursive: true, force: true }));

interface Told {
  readonly words: string[];
  readonly errors: MemblastError[];
}

function hear(node: {
  on(name: "connect" | "disconnect", handler: () => void): unknown;
  on(name: "error", handler: (error: MemblastError) => void): unknown;
}): Told {
  const [words, errors]: [string[], MemblastError[]] = [[], []];
  node.on("connect", () => words.push("connect"));
  node.on("disconnect", () => words.push("disconnect"));
  node.on("error", (error) => errors.push(error));
  return { words, errors };
}

function follow(server: string, options: Partial<StartOptions> = {}): Promise<Node> {
  return start("f", { server, shape: [4], ...fast, ...options });
}

describe("a link that ends before the server has told what it has", () => {
  test.each(["tcp", "unix", "ws"])(
    "at a full %s door is a failed attempt, told once; there is no disconnect without a connect",
    async (kind) => {
      const listen = { tcp: "127.0.0.1:0", unix: `unix:${folder}/door`, ws: "ws://127.0.0.1:0/" }[kind]!;
      await using server = await start("s", {
        listen: ["127.0.0.1:0", listen],
        shape: [4],
        connectionsMax: 1,
      });
      const [inner, address] = server.addresses as [string, string];
      const first = await follow(inner);
      await first.ready;
      await using second = await follow(address);
      const told = hear(second);
      await until(() => server.stats().door.refused > 5, "several attempts");
      expect(told.words).toEqual([]);
      expect(told.errors.map(({ code, details }) => [code, details["reason"]])).toEqual([
        ["CONNECT_FAILED", "closed"],
      ]);
      await first.close();
      await second.ready;
      expect(told.words).toEqual(["connect"]);
    },
  );

  test("in a browser as well", async () => {
    let attempts = 0;
    const open = (socket: Bun.ServerWebSocket) => {
      attempts++;
      socket.close();
    };
    const door = Bun.serve({
      port: 0,
      fetch: (request, self) => (self.upgrade(request) ? undefined : new Response("no")),
      websocket: { open, message() {} },
    });
    using client = connect(`ws://127.0.0.1:${door.port}/`, fast);
    const told = hear(client);
    await until(() => attempts > 3, "several attempts");
    expect(told.words).toEqual([]);
    expect(told.errors.map(({ code }) => code)).toEqual(["CONNECT_FAILED"]);
    client.close();
    await door.stop(true);
  });

  test("with a refusal for good is that, and nothing else", async () => {
    const secret = "0123456789abcdef";
    await using server = await start("s", { listen: 0, shape: [4], secrets: { k: { secret } } });
    hear(server);
    await using node = await follow(server.addresses[0]!, { secret: { keyId: "k", secret: `${secret}!` } });
    const told = hear(node);
    expect(await codeOf(() => node.ready)).toBe("REFUSED");
    await until(() => told.errors.length > 0, "the event");
    await Bun.sleep(20);
    expect(told.words).toEqual([]);
    expect(told.errors.map(({ code }) => code)).toEqual(["REFUSED"]);
  });

  test("with a server's goodbye, there is one disconnect for each connect", async () => {
    const server = await start("s", { listen: `unix:${folder}/door`, shape: [4] });
    await using node = await follow(server.addresses[0]!);
    const told = hear(node);
    await node.ready;
    await server.close();
    await until(() => told.words.includes("disconnect"), "the end");
    await using again = await start("s", { listen: `unix:${folder}/door`, shape: [4] });
    await until(() => again.stats().links.length === 1 && node.stats().links[0]!.connected, "the next");
    expect(told.words.slice(-2)).toEqual(["disconnect", "connect"]);
    expect(told.words.filter((word) => word === "connect").length).toBeLessThanOrEqual(2);
  });
});

test("what changes in an outage is told: nobody there, then somebody untrusted; and stats() say which it is", async () => {
  await using before = await start("s", { listen: 0, shape: [4] });
  const listen = `tls:${before.addresses[0]}`;
  await before.close();
  await using node = await start("f", { server: listen, shape: [4], ...fast });
  const { errors } = hear(node);
  const link = () => node.stats().links[0]!;
  expect(link()).toMatchObject({ state: "connecting", reason: null });
  await until(() => errors.length === 1, "nobody there");
  expect(link()).toMatchObject({ state: "connecting", reason: errors[0]!.message });
  await using server = await start("s", { listen, shape: [4], tls: certificates.selfSigned });
  hear(server);
  await until(() => errors.length === 2, "somebody untrusted");
  expect(errors.map(({ details }) => details["reason"])).toEqual(["refused", "tls"]);
  expect(link()).toMatchObject({ state: "connecting", reason: errors[1]!.message });
  await using trusting = await start("g", {
    server: listen,
    shape: [4],
    tls: { ca: certificates.selfSigned.cert },
    ...fast,
  });
  await trusting.ready;
  expect(trusting.stats().links[0]).toMatchObject({ state: "live", reason: null });
});
