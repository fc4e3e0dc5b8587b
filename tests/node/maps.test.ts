import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { connect } from "../../src/browser/index.ts";
import { type MemblastError, type Node, start, type StartOptions } from "../../src/index.ts";
import { codeOf, until } from "./until.ts";

setDefaultTimeout(30_000);

const fast = { reconnect: { minMs: 5, maxMs: 20 } };
const name = "an-array-whose-name-has-forty-characters";

const serve = (options: Partial<StartOptions> = {}) =>
  start("s", { listen: [0, "ws://127.0.0.1:0/"], arrays: { [name]: { shape: [10_000] } }, ...options });

/** Every second element, each by itself. */
const single = (count: number) =>
  Array.from({ length: count }, (_, i) => ({ array: name, start: [2 * i], shape: [1] }));
const landing = (count: number) =>
  single(count).map((region, i) => ({ ...region, to: { array: "x", start: [i] } }));

function follow(
  server: Node,
  maps: StartOptions["maps"],
  options: Partial<StartOptions> = {},
): Promise<Node> {
  return start("f", {
    server: server.addresses[0]!,
    maps,
    arrays: { x: { shape: [5000] } },
    ...fast,
    ...options,
  });
}

/** What became of it: the code and reason of its end, and all that was told. */
async function outcome(node: Node) {
  const told: string[] = [];
  node.on("connect", () => told.push("connect"));
  node.on("disconnect", () => told.push("disconnect"));
  node.on("error", ({ code }) => told.push(code));
  const error = await node.ready.then(
    () => null,
    (each: MemblastError) => each,
  );
  await Bun.sleep(30);
  return { told, code: error?.code, reason: error?.details["reason"], message: error?.message ?? "" };
}

describe("more than a server gives", () => {
  test.each([
    [4097, /4097 regions, and one subscription has at most 4096/],
    [3500, /3500 regions, which take 2[0-9]{5} bytes to name, and a request has at most 262144/],
  ])("of %i maps is refused once, before it is asked for", async (count, says) => {
    await using server = await serve();
    await using node = await follow(server, landing(count));
    const { told, code, reason, message } = await outcome(node);
    expect([code, reason]).toEqual(["REFUSED", "UNSUPPORTED"]);
    expect(message).toMatch(says);
    expect(told).toEqual(["REFUSED"]);
    expect(node.stats().links[0]).toMatchObject({ state: "given up", reason: message });
  });

  test("in a mesh counts the stamps, and says so", async () => {
    await using server = await serve({ mesh: true });
    await using node = await follow(server, landing(2100), { mesh: true });
    const { told, code, message } = await outcome(node);
    expect(code).toBe("REFUSED");
    expect(message).toMatch(/4201 regions.* at most 4096.*a map counts twice, for its stamps/);
    expect(told).toEqual(["REFUSED"]);
  });

  test("to a page as well, which goes on with what it had", async () => {
    await using server = await serve();
    const named = single(3500).map((region, i) => ({ ...region, as: `r${i}` }));
    using client = connect(server.addresses[1]!, { regions: named, ...fast });
    expect(await codeOf(() => client.ready)).toBe("REFUSED");
    expect(client.state).toBe("closed");
    using other = connect(server.addresses[1]!, { regions: single(1), ...fast });
    await other.ready;
    expect(await codeOf(() => other.follow(named))).toBe("REFUSED");
    server.write((_, tx) => tx.array(name).set(0, 7));
    await until(() => other.ndarray(name).get(0) === 7, "what it had before");
  });

  test("as many as fit are followed", async () => {
    await using server = await serve();
    server.write((_, tx) => tx.array(name).fill(3));
    await using node = await follow(server, landing(3000));
    await node.ready;
    expect(node.ndarray("x").get(2999)).toBe(3);
  });
});

describe("no maps at all", () => {
  test.each([
    [{ maps: [] }, "maps"],
    [{ server: { address: 1, maps: [] } }, "server.maps"],
    [{ servers: [{ address: 1, maps: [] }], server: undefined }, "servers.0.maps"],
  ])("are a mistake: %j", async (options, option) => {
    const started = start("f", { server: 1, shape: [1], ...options } as StartOptions);
    const { code, message, details } = await started.then(
      () => expect.unreachable(),
      (error: MemblastError) => error,
    );
    expect([code, (details["path"] as string[]).join(".")]).toEqual(["INVALID_OPTION", option]);
    expect(message).toStartWith(`start(): option ${option}: an empty list follows nothing`);
  });

  test("in a mesh follow the metadata alone", async () => {
    await using server = await serve({ mesh: true });
    server.write((_, tx) => {
      tx.array(name).set(0, 7);
      tx.meta = "hello";
    });
    await using node = await follow(server, [], { mesh: true, arrays: { [name]: { shape: [10_000] } } });
    await node.ready;
    await until(() => node.meta === "hello", "the metadata");
    expect(node.ndarray(name).get(0)).toBe(0);
  });
});

test("a map that leaves an array is named, and so is whose array that is", async () => {
  await using server = await serve();
  const address = server.addresses[0]!;
  const map = (from: number, to: number, shape: number, into = "x") => ({
    array: name,
    start: [from],
    shape: [shape],
    to: { array: into, start: [to] },
  });
  const said = async (...maps: ReturnType<typeof map>[]) => {
    try {
      await using node = await follow(server, maps);
      node.on("error", () => {});
      await node.ready;
    } catch (error) {
      return `${(error as MemblastError).code} ${(error as Error).message}`;
    }
  };
  const fits = map(0, 0, 10);
  expect(await said(fits, map(9_999, 10, 2))).toBe(
    `INVALID_REGION maps[1] for ${address}, in the arrays of that server: region of array "${name}": 2 from 9999 on axis 0 is outside the array's [10000]`,
  );
  expect(await said(map(0, 4_999, 2))).toBe(
    `INVALID_REGION maps[0] for ${address}, in the arrays of this node: region of array "x": 2 from 4999 on axis 0 is outside the array's [5000]`,
  );
  expect(await said(fits, map(20, 5, 10))).toMatch(
    /^INVALID_REGION maps\[0\] \(to .* and maps\[1\] \(to .* put/,
  );
});
