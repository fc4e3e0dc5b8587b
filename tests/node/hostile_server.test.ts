/** What a server sends that no memblast node would, and what becomes of its follower. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { connect } from "../../src/browser/index.ts";
import { start, type MemblastError } from "../../src/index.ts";
import { Node } from "../../src/node/node.ts";
import { realWorld } from "../../src/node/runtime/world.ts";
import { type Standing, StandingPlace } from "../../src/node/storage/standing.ts";
import { formatAddress } from "../../src/transport/address.ts";
import { systemTransport } from "../../src/transport/endpoint.ts";
import type { Transport } from "../../src/transport/link.ts";
import { type RawPublication, RawServer } from "./raw_server.ts";
import { codeOf, until } from "./until.ts";

setDefaultTimeout(30_000);

const bytes = 64;
const specs = [{ name: "b", dtype: "u8", shape: [bytes] }] as const;
const fives = new Uint8Array(bytes).fill(5);
const reconnect = { minMs: 5, maxMs: 20 };

describe("metadata that are no JSON", () => {
  const meta = Buffer.from("{not json");
  const serve = (address?: string) =>
    RawServer.listen(
      specs,
      {
        onSubscribe(link, request) {
          link.accept(request, bytes);
          link.delta(request.id, { full: true, to: 1 }, fives);
          link.delta(request.id, { from: 1, to: 2, meta }, Uint8Array.of(6));
        },
      },
      address,
    );

  test("of a server whose metadata are not taken over end its link, and nothing else", async () => {
    await using good = await start("good", { shape: [bytes], dtype: "u8", listen: 0 });
    using raw = await serve();
    const metas: unknown[] = [];
    const errors: MemblastError[] = [];
    await using node = await start("f", {
      arrays: { a: { dtype: "u8", shape: [bytes] }, b: { dtype: "u8", shape: [bytes] } },
      servers: [
        { address: good.addresses[0]!, maps: [[null, [bytes], null, "a"]] },
        { address: raw.address, maps: [{ array: "b", start: [0], shape: [bytes] }] },
      ],
      reconnect,
      onUpdate: (update) => void metas.push(update.meta),
      onError: (error) => void errors.push(error),
    });
    await node.ready;
    await until(() => errors.length > 0 && raw.links.length > 1, "the fault, and the next link");
    expect(errors[0]).toMatchObject({ code: "PROTOCOL", details: { reason: "BAD_MESSAGE" } });
    expect(raw.links[0]!.of("ERROR")).toMatchObject([{ code: "BAD_MESSAGE" }]);
    good.write((a, tx) => {
      a.set(0, 7);
      tx.meta = "good";
    });
    await until(() => node.ndarray("a").get(0) === 7, "the other server");
    expect(node.ndarray("b").get(0)).toBe(5);
    expect(metas.filter((text) => text !== undefined)).toEqual(["good"]);
  });

  test("end the link of a page as well", async () => {
    using raw = await serve("ws://127.0.0.1:0/");
    using client = connect(raw.address, { reconnect });
    const errors: MemblastError[] = [];
    client.on("error", (error) => errors.push(error));
    await client.ready;
    await until(() => errors.length > 0, "the fault");
    expect(errors[0]).toMatchObject({ code: "PROTOCOL", details: { reason: "BAD_MESSAGE" } });
    expect([client.state === "closed", client.ndarray("b").get(0)]).toEqual([false, 5]);
  });
});

test("a first state before it was asked for: who closes the node over it has no door left open", async () => {
  using raw = await RawServer.listen(specs, {
    onWelcome(link) {
      link.accept({ id: 1 }, bytes);
      link.delta(1, { full: true, to: 1 }, fives);
    },
  });
  const listened: string[] = [];
  const transport: Transport = {
    ...realWorld.transport,
    listen: (address, ...rest) => (
      listened.push(formatAddress(address)),
      systemTransport.listen(address, ...rest)
    ),
  };
  let closing: Promise<void> | undefined;
  const options = {
    server: raw.address,
    listen: 0,
    onUpdate: (_: unknown, node: Node) => void (closing ??= node.close()),
  };
  expect(await codeOf(() => Node.start("f", options, { ...realWorld, transport }))).toBe("CLOSED");
  await closing;
  expect(listened).toEqual([]);
});

describe("a delta of which only the beginning comes", () => {
  const large = 200_000;
  const schema = [{ name: null, dtype: "u8", shape: [large] }] as const;
  const begin = (link: RawPublication, id: number) => {
    link.accept({ id }, large);
    link.delta(id, { full: true, to: 1 }, new Uint8Array(large).fill(1));
    link.delta(id, { from: 1, to: 2, totalBytes: large }, new Uint8Array(65_536).fill(2), 0, false);
  };

  test.each([
    ["a node that overflows", "every"],
    ["a node that is refused", "latest"],
  ] as const)("is undone in %s", async (_, mode) => {
    const standing = new Set<Standing>();
    const { open } = StandingPlace.prototype;
    StandingPlace.prototype.open = function (giveWay) {
      const transaction = open.call(this, giveWay);
      standing.add(transaction);
      const { rollback } = transaction;
      transaction.rollback = () => (standing.delete(transaction), rollback());
      return transaction;
    };
    const fault = { type: "ERROR", code: "LIMIT", text: "too slow" } as const;
    using raw = await RawServer.listen(schema, {
      onSubscribe(link, { id }) {
        if (id > 1) return link.accept({ id }, large); // and nothing else
        begin(link, id);
        setTimeout(() => link.send({ ...fault, subscription: id }), 100);
      },
    });
    try {
      await using node = await start("f", { server: raw.address, mode, reconnect, onError: () => {} });
      await until(() => standing.size === 1, "the beginning");
      await until(() => standing.size === 0, "its end");
      expect(node.ndarray().get(0)).toBe(1);
      expect(node.verify().damage).toEqual([]);
    } finally {
      StandingPlace.prototype.open = open;
    }
  });
});
