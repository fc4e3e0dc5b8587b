import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { start } from "../../src/index.ts";
import { codeOf } from "./until.ts";

setDefaultTimeout(30_000);

describe("write and read", () => {
  test("a write is one version, of all arrays and the metadata", async () => {
    await using node = await start("w", { shape: [2, 3], arrays: { w1: { shape: [4], dtype: "f32" } } });
    const version = node.write((a, tx) => {
      a.set(1, 2, 187.2);
      tx.array("w1").fill(0.5);
      tx.meta = { index: 4 };
    });
    expect(version).toBe(1);
    expect(node.version).toEqual({ w: 1 });
    const seen = node.read((a, view) => [a.get(1, 2), view.array("w1").toArray(), view.meta, view.version]);
    expect(seen).toEqual([187.2, [0.5, 0.5, 0.5, 0.5], { index: 4 }, 1]);
    expect(node.meta).toEqual({ index: 4 });
    expect(node.ndarray("w1").get(3)).toBe(0.5);
  });

  test("what throws leaves no trace, and the error comes through", async () => {
    await using node = await start("w", { shape: [100], arrays: { b: { shape: [8], dtype: "u8" } } });
    node.write((a, tx) => {
      a.fill(1);
      tx.meta = "before";
    });
    const boom = new Error("boom");
    expect(() =>
      node.write((a, tx) => {
        a.fill(2);
        a.data[7] = 9;
        tx.array("b").set(3, 4);
        tx.meta = "after";
        throw boom;
      }),
    ).toThrow(boom);
    expect(node.version).toEqual({ w: 1 });
    expect(node.read((a, view) => [a.toArray(), view.array("b").toArray(), view.meta])).toEqual([
      Array(100).fill(1),
      Array(8).fill(0),
      "before",
    ]);
    expect(node.write((a) => a.get(7))).toBe(1);
    node.write((a) => expect(a.get(7)).toBe(1));
  });

  test("no change makes no version", async () => {
    await using node = await start("w", { shape: [4] });
    node.write((a, tx) => {
      a.set(0, NaN);
      tx.meta = { n: 1 };
    });
    node.write((a, tx) => {
      a.set(0, NaN);
      tx.meta = { n: 1 };
    });
    expect(node.version.w).toBe(1);
    node.write((a) => a.set(1, -0));
    expect(node.version.w).toBe(2);
  });

  test("misuse is named at once", async () => {
    await using node = await start("w", { shape: [4] });
    expect(await codeOf(() => node.write(() => node.write(() => {})))).toBe("NESTED_WRITE");
    expect(await codeOf(() => node.write(async () => {}))).toBe("ASYNC_CALLBACK");
    expect(await codeOf(() => node.versionMeta(1))).toBe("NOT_IN_WRITE");
    expect(await codeOf(() => node.write(() => node.versionMeta(1n)))).toBe("INVALID_META");
    expect(await codeOf(() => node.write(() => node.versionMeta("x".repeat(5000))))).toBe("INVALID_META");
    expect(await codeOf(() => node.ndarray("nope"))).toBe("INVALID_NAME");
    expect(await codeOf(() => node.ndarray().set(0, 1))).toBe("READ_ONLY");
    expect(await codeOf(() => node.write((a) => a.set(4, 1)))).toBe("INVALID_INDEX");
    let kept: { set(i: number, v: number): void } | undefined;
    node.write((a) => void (kept = a));
    expect(await codeOf(() => kept!.set(0, 1))).toBe("VIEW_EXPIRED");
    expect(node.version.w).toBe(0);
  });

  test("closing ends everything, twice is nothing, and views are empty", async () => {
    const node = await start("w", { shape: [4] });
    const live = node.ndarray();
    const raw = node.read((a) => a.data);
    await node.close();
    await node.close();
    expect(raw.length).toBe(0);
    expect(await codeOf(() => live.get(0))).toBe("CLOSED");
    expect(await codeOf(() => node.write(() => {}))).toBe("CLOSED");
    expect((await node.updates().next()).done).toBe(true);
  });
});

describe("options", () => {
  test.each([
    [{}, "INVALID_OPTION"],
    [{ shape: [0] }, "INVALID_SHAPE"],
    [{ shape: [1, 2, 3, 4, 5, 6, 7, 8, 9] }, "INVALID_SHAPE"],
    [{ shape: "3" }, "INVALID_SHAPE"],
    [{ shape: [3], dtype: "f63" }, "INVALID_DTYPE"],
    [{ shape: [3], listen: "nowhere" }, "INVALID_ADDRESS"],
    [{ shape: [3], listen: "127.0.0.1:99999" }, "INVALID_ADDRESS"],
    [{ shape: [3], lisen: 7010 }, "INVALID_OPTION"],
    [{ shape: [3], checkHash: "yes" }, "INVALID_OPTION"],
    [{ shape: [3], persist: true }, "INVALID_OPTION"],
    [{ shape: [3], listen: "0.0.0.0:0" }, "INVALID_OPTION"],
    [{ arrays: { "a b": { shape: [3] } } }, "INVALID_NAME"],
    [{ shape: [2 ** 30] }, "TOO_LARGE"],
    [{ server: "127.0.0.1:1", maps: [[[0], [2], [0], null]] }, "INVALID_OPTION"],
    [{ shape: [3], metaBytesMax: 1 }, "INVALID_OPTION"],
  ])("%j is refused with %s", async (options, code) => {
    expect(await codeOf(() => start("o", options as never))).toBe(code);
  });

  test("a name must be one", async () => {
    expect(await codeOf(() => start("", { shape: [1] }))).toBe("INVALID_NAME");
    expect(await codeOf(() => start("a\nb", { shape: [1] }))).toBe("INVALID_NAME");
    const named = { name: "a", shape: [1] } as unknown as string;
    await expect(start(named, {})).rejects.toThrow(
      "128 printable characters as the first argument: start(name, options)",
    );
    await expect(start("", { shape: [1] })).rejects.toThrow(/characters$/);
  });

  test("a taken port names itself", async () => {
    await using first = await start("a", { shape: [1], listen: 0 });
    const taken = first.addresses[0]!;
    expect(await codeOf(() => start("b", { shape: [1], listen: taken }))).toBe("ADDRESS_IN_USE");
  });

  test("a refused connection is an event with a code, and is tried again", async () => {
    const free = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    const address = `127.0.0.1:${free.port}`;
    free.stop(true);
    await using node = await start("f", { shape: [2], server: address, reconnect: { minMs: 5, maxMs: 20 } });
    const refused = Promise.withResolvers<string>();
    node.on("error", (error) => refused.resolve(error.code));
    expect(await refused.promise).toBe("CONNECT_FAILED");
    await using server = await start("s", { shape: [2], listen: address });
    await node.ready;
    expect(node.read((a) => a.get(0))).toBe(server.read((a) => a.get(0)));
  });
});
