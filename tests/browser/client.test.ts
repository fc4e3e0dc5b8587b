import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { type Client, connect, type ConnectOptions, type Update } from "../../src/browser/index.ts";
import { type MemblastError, type Node, start, type StartOptions } from "../../src/index.ts";
import { Proxy } from "../node/proxy.ts";
import { codeOf, until } from "../node/until.ts";
import { Random, seed } from "../transport/random.ts";

setDefaultTimeout(30_000);

// The browser's client under Bun, whose WebSocket is a browser's. tests/browser/chromium.test.ts has the rest.

const fast: ConnectOptions = { reconnect: { minMs: 5, maxMs: 40 } };
const grid: Partial<StartOptions> = { shape: [16, 20], dtype: "f32" };

function serve(options: Partial<StartOptions> = grid): Promise<Node> {
  return start("server", { listen: "ws://127.0.0.1:0/", ...options });
}

function hostOf(node: Node): string {
  return new URL(node.addresses[0]!).host;
}

const same = (client: Client, node: Node, name: string | null = null) =>
  client.ndarray(name).equals(node.ndarray(name));

function thrownBy(action: () => Client): MemblastError {
  try {
    action().close();
  } catch (error) {
    return error as MemblastError;
  }
  throw new Error("nothing was thrown");
}

describe("a browser's client", () => {
  test("has all arrays of the node, typed and whole, and every version after", async () => {
    await using node = await serve({
      ...grid,
      arrays: {
        prices: { shape: [3], dtype: "f64" },
        counts: { shape: [], dtype: "u64" },
        on: { shape: [2, 2], dtype: "bool" },
      },
    });
    node.write((a, tx) => {
      a.set(3, 4, 1.5);
      tx.array("counts").set(2n ** 63n);
      tx.array("on").set(1, 1, true);
      tx.meta = { step: 1 };
    });
    const updates: Update[] = [];
    using client = connect(node.addresses[0]!, { onUpdate: (update) => updates.push(update) });
    expect(client.state).toBe("connecting");
    expect(client.version).toBe(0);
    expect(await codeOf(() => client.ndarray())).toBe("CLOSED");
    await client.ready;
    expect(client).toMatchObject({
      state: "live",
      peer: "server",
      version: 1,
      meta: { step: 1 },
      regions: null,
    });
    expect(client.names).toEqual([null, "prices", "counts", "on"]);
    for (const name of client.names) expect(same(client, node, name)).toBe(true);
    expect(client.data()).toBeInstanceOf(Float32Array);
    expect(client.data("prices")).toBeInstanceOf(Float64Array);
    expect(client.data("counts")).toEqual(BigUint64Array.of(2n ** 63n));
    expect(await codeOf(() => client.ndarray("other"))).toBe("INVALID_NAME");
    expect(await codeOf(() => client.ndarray().set(0, 0, 1))).toBe("READ_ONLY");
    node.write((_, tx) => tx.array("prices").fill(7));
    await until(() => client.version === 2, "version 2");
    expect([...client.data("prices")]).toEqual([7, 7, 7]);
    expect(client.meta).toEqual({ step: 1 });
    expect(updates[0]).toMatchObject({ full: true, sourceVersion: 1 });
    expect(updates[1]!.regions.map(({ array }) => array)).toEqual(["prices"]);
    expect(client.stats()).toMatchObject({
      connected: true,
      connects: 1,
      deltas: 2,
      fullDeltas: 1,
      mismatches: 0,
    });
  });

  test("regions become arrays of their own, and can be chosen anew while it runs", async () => {
    await using node = await serve({ ...grid, arrays: { row: { shape: [8], dtype: "i32" } } });
    node.write((a, tx) => {
      for (let i = 0; i < 320; i++) a.set(Math.floor(i / 20), i % 20, i);
      tx.array("row").assign([1, 2, 3, 4, 5, 6, 7, 8]);
    });
    using client = connect(node.addresses[0]!, {
      regions: [
        { start: [2, 3], shape: [2, 2] },
        { array: "row", start: [5], as: "tail" },
      ],
    });
    await client.ready;
    expect(client.ndarray().toArray()).toEqual([
      [43, 44],
      [63, 64],
    ]);
    expect([...client.data("tail")]).toEqual([6, 7, 8]);
    node.write((a) => a.set(15, 19, -1));
    node.write((a) => a.set(3, 4, -2));
    await until(() => client.version === 3, "the change inside");
    expect(client.stats().deltas).toBe(2);

    const before = client.ndarray();
    await client.follow([{ start: [15, 17], as: "corner" }]);
    expect(client.names).toEqual(["corner"]);
    expect([...client.data("corner")]).toEqual([317, 318, -1]);
    expect(before.toArray()).toEqual([
      [43, 44],
      [63, -2],
    ]);
    node.write((a) => a.set(15, 17, 5));
    await until(() => client.version === 4, "the new region's change");
    expect(client.ndarray("corner").get(0, 0)).toBe(5);
    await client.follow(null);
    expect(same(client, node)).toBe(true);
    expect(same(client, node, "row")).toBe(true);
  });

  test("regions that cannot be had are refused, and what was followed goes on", async () => {
    await using node = await serve();
    using client = connect(node.addresses[0]!, { regions: [{ shape: [1, 20] }] });
    await client.ready;
    expect(await codeOf(() => client.follow([{ start: [16, 0] }]))).toBe("INVALID_REGION");
    expect(await codeOf(() => client.follow([{ array: "none" }]))).toBe("INVALID_REGION");
    expect(await codeOf(() => client.follow([]))).toBe("INVALID_REGION");
    expect(await codeOf(() => client.follow([{}, {}]))).toBe("INVALID_NAME");
    expect(await codeOf(() => client.follow(5 as never))).toBe("INVALID_OPTION");
    node.write((a) => a.set(0, 19, 3));
    await until(() => client.version === 1, "the first row");
    expect(client.ndarray().get(0, 19)).toBe(3);

    using wrong = connect(node.addresses[0]!, { regions: [{ array: "none" }] });
    expect(await codeOf(() => wrong.ready)).toBe("INVALID_REGION");
    expect(wrong.state).toBe("closed");
  });

  test("a function that does not choose regions is a mistake, told once", async () => {
    await using node = await serve();
    const cause = new Error("user fn");
    const thrower = () => {
      throw cause;
    };
    for (const regions of [
      thrower,
      () => "x",
      () => [null],
      () => [{ start: [-1] }],
      () => {},
      async () => [{}],
    ]) {
      const errors: MemblastError[] = [];
      using client = connect(node.addresses[0]!, { regions: regions as never, ...fast });
      client.on("error", (error) => errors.push(error));
      expect(await codeOf(() => client.ready)).toBe("INVALID_REGION");
      await Bun.sleep(20);
      expect(errors.map(({ code }) => code)).toEqual(["INVALID_REGION"]);
      if (regions === thrower) expect(errors[0]!.cause).toBe(cause);
      expect(client.state).toBe("closed");
      using other = connect(node.addresses[0]!);
      await other.ready;
      expect(await codeOf(() => other.follow(regions as never))).toBe("INVALID_REGION");
      expect(other.state).toBe("live");
    }
  });

  test("more than a page can hold is refused once", async () => {
    await using node = await serve({ shape: [2 ** 23] });
    const regions = Array.from({ length: 4000 }, (_, i) => ({ as: `r${i}` })); // 250 GiB
    using client = connect(node.addresses[0]!, { regions, ...fast });
    expect(await codeOf(() => client.ready)).toBe("NO_SPACE");
    expect(client.state).toBe("closed");
  });

  test("several choices in a row end with the last one, and each promise resolves", async () => {
    await using node = await serve();
    node.write((a) => a.fill(1));
    using client = connect(node.addresses[0]!);
    const choices = [1, 2, 3, 4].map((rows) => client.follow([{ shape: [rows, 2], as: `r${rows}` }]));
    await Promise.all(choices);
    expect(client.names).toEqual(["r4"]);
    const more = [5, 6].map((rows) => client.follow([{ shape: [rows, 2], as: `r${rows}` }]));
    await Promise.all(more);
    expect(client.names).toEqual(["r6"]);
    expect(client.ndarray("r6").size).toBe(12);
  });

  test("options that make no sense are told at once", async () => {
    for (const url of ["127.0.0.1:7010", "tls:host:1", "http://host/", "ws://host:1/?a=b"])
      expect(await codeOf(() => connect(url))).toBe("INVALID_ADDRESS");
    const secret = "0123456789abcdef";
    const wrong: Record<string, readonly unknown[]> = {
      name: ["", "a\nb", 5, "x".repeat(129)],
      regions: [
        5,
        "all",
        {},
        [5],
        [null],
        [{ start: 1 }],
        [{ start: [-1] }],
        [{ shape: [1.5] }],
        [{ to: 1 }],
        [{ as: 5 }],
      ],
      checkHash: ["no", 1, null],
      mode: ["all", null],
      overflow: ["drop", "disconnect"],
      maxRate: [0, -1, "5", Number.NaN, 1e7],
      heartbeatMs: [5, 10.5, "100", 3_600_001, null],
      secret: [
        null,
        "text",
        { keyId: "k" },
        { keyId: "", secret },
        { keyId: "k", secret: "short" },
        { keyId: "k", secret, x: 1 },
      ],
      reconnect: [
        null,
        50,
        { minMs: "5" },
        { minMs: 0 },
        { maxMs: 1e10 },
        { minMs: Infinity },
        { minMs: 20, maxMs: 10 },
        { ms: 5 },
      ],
      onUpdate: [5, "f"],
      heartbeat: [100],
      toString: [1],
    };
    for (const [option, values] of Object.entries(wrong))
      for (const value of values) {
        const { code, message, details } = thrownBy(() => connect("ws://127.0.0.1:1", { [option]: value }));
        expect([option, value, code, details["path"]]).toEqual([option, value, "INVALID_OPTION", [option]]);
        expect(message).toContain(option);
      }
    expect(await codeOf(() => connect("ws://h:1", null as never))).toBe("INVALID_OPTION");
    const right: ConnectOptions[] = [
      { regions: () => [{}], checkHash: true, maxRate: null },
      { regions: [{ array: null, start: [0], shape: undefined, as: "a" }], secret: { keyId: "k", secret } },
      { reconnect: { maxMs: 5 } },
      { reconnect: { minMs: 86_400_000, maxMs: 86_400_000 } },
    ];
    for (const options of right) connect("ws://127.0.0.1:1", options).close();
  });

  test("a stream of updates, merged where the reader is slow", async () => {
    await using node = await serve();
    using client = connect(node.addresses[0]!);
    const updates = client.updates();
    await client.ready;
    for (let i = 1; i <= 5; i++) {
      node.write((a) => a.set(0, i, i));
      await until(() => client.version === i, `version ${i}`);
    }
    const first = (await updates.next()).value as Update;
    expect(first.sourceVersion).toBe(5);
    client.close();
    expect((await updates.next()).done).toBe(true);
    expect(client.ndarray().get(0, 5)).toBe(5);
    expect(await codeOf(() => client.follow(null))).toBe("CLOSED");
    expect(await codeOf(() => client.setRate(5))).toBe("CLOSED");
  });
});

describe("after a cut", () => {
  test("it goes on from what it has, by one small delta", async () => {
    await using node = await serve({ shape: [256, 256], dtype: "f64" });
    node.write((a) => a.fill(2));
    using proxy = new Proxy(hostOf(node));
    const reasons: string[] = [];
    using client = connect(`ws://${proxy.address}/`, fast);
    client.on("disconnect", ({ reason }) => reasons.push(reason));
    await client.ready;
    proxy.cutAll();
    node.write((a) => a.set(9, 9, 1));
    await until(() => client.version === 2, "the change made while it was away");
    expect(same(client, node)).toBe(true);
    expect(client.stats()).toMatchObject({ connects: 2, fullDeltas: 1, deltas: 2 });
    expect(proxy.servedBytes).toBeLessThan(10_000);
    expect(reasons).toHaveLength(1);
  });

  test(`cut after every so many bytes, it ends with the server's bytes all the same (seed ${seed})`, async () => {
    const random = new Random();
    await using node = await serve({ shape: [64, 64], dtype: "f64" });
    using proxy = new Proxy(hostOf(node));
    using client = connect(`ws://${proxy.address}/`, { ...fast, checkHash: true });
    proxy.cutAfterBytes = 1;
    for (let round = 0; round < 60; round++) {
      node.write((a) => a.set(random.between(0, 63), random.between(0, 63), round + 1));
      proxy.cutAfterBytes = random.between(1, 45_000);
      if (round % 3 === 0) proxy.cutAll();
      await Bun.sleep(2);
    }
    proxy.cutAfterBytes = Infinity;
    await until(() => client.version === 60, "version 60", 20_000);
    expect(same(client, node)).toBe(true);
    expect(client.stats().mismatches).toBe(0);
    expect(client.stats().connects).toBeGreaterThan(1);
  });

  test("a node that starts anew with the same arrays, or with others, is followed again", async () => {
    const first = await serve();
    const port = new URL(first.addresses[0]!).port;
    first.write((a) => a.fill(1));
    using client = connect(`ws://127.0.0.1:${port}/`, fast);
    await client.ready;
    await first.close();
    await using second = await serve({ listen: `ws://127.0.0.1:${port}/`, ...grid });
    second.write((a) => a.set(0, 0, 9));
    await until(() => client.state === "live" && same(client, second), "the second node's state");
    expect(client.ndarray().get(5, 5)).toBe(0);
    await second.close();
    await using third = await serve({ listen: `ws://127.0.0.1:${port}/`, shape: [4], dtype: "u8" });
    third.write((a) => a.set(3, 200));
    await until(() => client.ndarray().dtype === "u8", "the third node's arrays");
    expect([...client.data()]).toEqual([0, 0, 0, 200]);
  });

  test("a node that is not there is told once, and tried until it is", async () => {
    const errors: MemblastError[] = [];
    await using away = await serve();
    const port = new URL(away.addresses[0]!).port;
    await away.close();
    using client = connect(`ws://127.0.0.1:${port}/`, fast);
    client.on("error", (error) => errors.push(error));
    await Bun.sleep(80);
    await using node = await serve({ listen: `ws://127.0.0.1:${port}/`, ...grid });
    await client.ready;
    expect(same(client, node)).toBe(true);
    expect(errors.map(({ code }) => code)).toEqual(["CONNECT_FAILED"]);
  });
});

test(`verified all the way: 1,000 random commits, every root right (seed ${seed})`, async () => {
  const random = new Random();
  await using node = await serve({
    shape: [100, 100],
    dtype: "f32",
    arrays: { w: { shape: [50], dtype: "f64" } },
  });
  using client = connect(node.addresses[0]!, {
    checkHash: true,
    regions: [{ start: [10, 5], shape: [80, 90] }, { array: "w" }],
  });
  await client.ready;
  for (let commit = 1; commit <= 1000; commit++) {
    node.write((a, tx) => {
      for (let i = random.between(1, 5); i > 0; i--)
        a.set(random.between(0, 99), random.between(0, 99), commit);
      tx.array("w").set(random.between(0, 49), commit);
      tx.meta = { commit };
    });
    if (commit % 20 === 0) await Bun.sleep(0);
  }
  await until(() => client.version === 1000, "version 1000");
  expect(client.ndarray().equals(node.ndarray().slice([10, 5], [80, 90]))).toBe(true);
  expect(same(client, node, "w")).toBe(true);
  expect(client.meta).toEqual({ commit: 1000 });
  expect(client.stats().mismatches).toBe(0);
  expect(client.stats().conflatedVersions).toBeGreaterThan(0);
});

test("a node that asks for a secret lets in who proves it, and nobody else", async () => {
  const secret = "correct horse battery staple";
  await using node = await serve({ ...grid, secrets: { page: { secret } } });
  using client = connect(node.addresses[0]!, { secret: { keyId: "page", secret } });
  await client.ready;
  expect(client.state).toBe("live");
  using guess = connect(node.addresses[0]!, { secret: { keyId: "page", secret: `${secret}!` } });
  expect(await codeOf(() => guess.ready)).toBe("REFUSED");
  using without = connect(node.addresses[0]!);
  expect(await codeOf(() => without.ready)).toBe("REFUSED");
  expect(without.state).toBe("closed");
  for (const each of [client, guess]) {
    const shown = Bun.inspect(each, { depth: 9 }) + JSON.stringify(each.stats());
    expect(shown).not.toContain("horse");
    expect(shown).not.toContain([...Buffer.from(secret)].slice(0, 5).join(","));
  }
});

test("a rate holds the node back, and can be changed while it runs", async () => {
  await using node = await serve();
  using client = connect(node.addresses[0]!, { maxRate: 20 });
  await client.ready;
  const writer = setInterval(() => node.write((a) => a.set(0, 0, Math.random())), 2);
  const before = client.stats().deltas;
  await Bun.sleep(300);
  const held = client.stats().deltas - before;
  client.setRate(null);
  await Bun.sleep(300);
  clearInterval(writer);
  expect(client.stats().deltas - before - held).toBeGreaterThan(2 * held);
});
