import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { attach, start, type Update } from "../../src/index.ts";
import { Child } from "../memory/child.ts";
import { uniqueName } from "../memory/names.ts";
import { Proxy } from "./proxy.ts";
import { codeOf, until } from "./until.ts";

setDefaultTimeout(30_000);

const fast = { reconnect: { minMs: 5, maxMs: 20 } };

/** A map of four elements of one array into another. */
function map(array: string | null, to: string) {
  return { array, start: [0], shape: [4], to: { array: to, start: [0] } };
}

describe("metadata of several servers", () => {
  test("are those of the first; what each of them says comes with its updates", async () => {
    await using one = await start("one", { listen: 0, shape: [4] });
    await using two = await start("two", { listen: 0, shape: [4] });
    const updates: Update[] = [];
    await using both = await start("both", {
      arrays: { a: { shape: [4] }, b: { shape: [4] } },
      servers: [
        { address: one.addresses[0]!, maps: [map(null, "a")] },
        { address: two.addresses[0]!, maps: [map(null, "b")] },
      ],
      onUpdate: (update) => void updates.push(update),
    });
    await both.ready;
    for (const [node, said] of [
      [two, "two"],
      [one, "one"],
      [two, "two again"],
    ] as const) {
      const before = updates.length;
      node.write((a, tx) => {
        a.set(0, before + 1);
        tx.meta = said;
      });
      await until(() => updates.length > before, said);
      expect(updates.at(-1)!.meta).toBe(said);
    }
    expect(both.meta).toBe("one");
    two.write((a) => a.set(1, 5));
    await until(() => both.ndarray("b").get(1) === 5, "a change without metadata");
    expect(updates.at(-1)!.meta).toBe("two again");
  });

  test("do not go round between nodes that follow each other", async () => {
    await using source = await start("source", { listen: 0, shape: [4] });
    using back = new Proxy(null);
    const own = { shape: [4] };
    await using a = await start("a", {
      listen: 0,
      arrays: { feed: own, fromB: own },
      servers: [
        { address: source.addresses[0]!, maps: [map(null, "feed")] },
        { address: back.address, maps: [map("own", "fromB")] },
      ],
      ...fast,
      onError() {},
    });
    await using b = await start("b", {
      listen: 0,
      arrays: { feed: own, own },
      server: { address: a.addresses[0]!, maps: [map("feed", "feed")] },
      ...fast,
    });
    back.target = b.addresses[0]!;
    await Promise.all([a.ready, b.ready]);
    for (let i = 1; i <= 20; i++) {
      source.write((m, tx) => {
        m.set(0, i);
        tx.meta = { i };
      });
      await Bun.sleep(1);
    }
    await until(() => b.ndarray("feed").get(0) === 20, "the last");
    await until(() => (b.meta as { i: number }).i === 20, "its metadata");
    const versions = [a.version["a"], b.version["b"]];
    await Bun.sleep(100);
    expect([a.meta, b.meta]).toEqual([{ i: 20 }, { i: 20 }]);
    expect([a.version["a"], b.version["b"]]).toEqual(versions);
  });

  test("that another process of the segment has written are not replaced by a server's", async () => {
    await using server = await start("s", { listen: 0, shape: [4] });
    const name = uniqueName("metadata");
    await using node = await start(name, {
      share: true,
      writers: "many",
      arrays: { a: { shape: [4] }, own: { shape: [4] } },
      server: { address: server.addresses[0]!, maps: [map(null, "a")] },
    });
    await node.ready;
    const say = async (said: string) => {
      server.write((m, tx) => {
        m.set(0, said.length);
        tx.meta = said;
      });
      await until(() => node.version[server.addresses[0]!] === server.version["s"], said);
    };
    await say("the server's");
    expect(node.meta).toBe("the server's");
    await using other = await attach(name, { mode: "rw" });
    other.write((_, tx) => void (tx.meta = "another's"));
    await say("the server's again");
    expect(node.meta).toBe("another's");
  });
});

describe("metadata of updates", () => {
  test("are those of their version, also where another process has written it, and after the end", async () => {
    const name = uniqueName("metadata");
    await using node = await start(name, { shape: [4], share: true });
    const updates: Update[] = [];
    const local = await attach(name, { onUpdate: (update) => void updates.push(update) });
    await Bun.sleep(20);
    for (let i = 1; i <= 3; i++) {
      node.write((a, tx) => {
        a.set(0, i);
        tx.meta = { i };
      });
      await until(() => updates.at(-1)?.version === i, `version ${i}`);
    }
    await local.close();
    expect(updates.map(({ version, meta }) => [version, meta])).toEqual([
      [1, { i: 1 }],
      [2, { i: 2 }],
      [3, { i: 3 }],
    ]);
  });

  test("are whole beside a process that writes long ones as fast as it can", async () => {
    await using peer = await start("peer", { listen: 0, mesh: true, shape: [4], metaBytesMax: 20_000 });
    const name = uniqueName("metadata");
    const wrong: unknown[] = [];
    const sources = new Set<string>();
    await using node = await start(name, {
      share: true,
      writers: "many",
      mesh: true,
      server: peer.addresses[0]!,
      shape: [4],
      metaBytesMax: 20_000,
      onUpdate: (update) => {
        sources.add(update.source);
        try {
          const { text } = (update.meta ?? { text: "" }) as { text: string };
          if (new Set(text).size > 1) wrong.push(text);
        } catch (error) {
          wrong.push(error);
        }
      },
    });
    await node.ready;
    await using child = new Child("../../node/children/babble.ts", [name]);
    await child.line();
    for (let i = 1; i < 300; i++) {
      peer.write((a) => a.set(0, i));
      await Bun.sleep(1);
    }
    await until(() => sources.size === 2, "updates of the peer's writes, and of the child's");
    expect(wrong).toEqual([]);
  });
});

test("a relay of a mesh gives up a server that came back without one, and still is no writer", async () => {
  const codes: string[] = [];
  const options = { listen: 0, shape: [4] };
  const server = await start("s", { ...options, mesh: true });
  using way = new Proxy(server.addresses[0]!);
  await using relay = await start("relay", {
    listen: 0,
    server: way.address,
    ...fast,
    onError: ({ code }) => void codes.push(code),
  });
  await relay.ready;
  await server.close();
  await using plain = await start("s", options);
  way.target = plain.addresses[0]!;
  await until(() => codes.includes("SCHEMA_MISMATCH"), "the refusal");
  expect(relay.stats().links.find(({ direction }) => direction === "out")).toMatchObject({
    state: "given up",
  });
  expect(await codeOf(() => relay.write((a) => a.set(0, 1)))).toBe("FOLLOWED");
});
