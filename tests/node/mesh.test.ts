import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { attach, type MemblastError, type Node, start, type Update } from "../../src/index.ts";
import { uniqueName } from "../memory/names.ts";
import { Random } from "../sim/random.ts";
import { Proxy } from "./proxy.ts";
import { codeOf, until } from "./until.ts";

setDefaultTimeout(30_000);

const fast = { reconnect: { minMs: 5, maxMs: 50 } };

/** Values and stamps of everything, and the metadata. */
function stateOf(node: Node): string {
  const arrays = node.schema.arrays.map(({ name }) => node.ndarray(name).toArray());
  return JSON.stringify([arrays, node.meta], (_, value) => (typeof value === "bigint" ? `${value}` : value));
}

function agree(nodes: readonly Node[]): boolean {
  return new Set(nodes.map(stateOf)).size === 1;
}

/** Nodes of a mesh, `edges` saying who follows whom, through proxies that can be cut. */
async function meshOf(count: number, edges: readonly (readonly [number, number])[], options: object = {}) {
  // A node must know the ports of those that start after it: the proxies have them first.
  const proxies = edges.map(() => new Proxy(null));
  const nodes: Node[] = [];
  for (let i = 0; i < count; i++) {
    const servers = proxies.filter((_, k) => edges[k]![0] === i).map((proxy) => proxy.address);
    nodes.push(await start(`n${i}`, { mesh: true, listen: 0, servers, shape: [64], ...fast, ...options }));
  }
  const targets = edges.map(([, to]) => nodes[to]!.addresses[0]!);
  const heal = () => proxies.forEach((proxy, k) => (proxy.target = targets[k]!));
  const part = () => {
    for (const proxy of proxies) {
      proxy.target = null;
      proxy.cutAll();
    }
  };
  heal();
  await Promise.all(nodes.map((node) => node.ready));
  const close = async () => {
    await Promise.all(nodes.map((node) => node.close()));
    for (const proxy of proxies) proxy[Symbol.dispose]();
  };
  return { nodes, part, heal, [Symbol.asyncDispose]: close };
}

const ring = (count: number) => Array.from({ length: count }, (_, i) => [i, (i + 1) % count] as const);
const full = (count: number) =>
  Array.from({ length: count * count }, (_, k) => [Math.floor(k / count), k % count] as const).filter(
    ([a, b]) => a !== b,
  );

describe("a mesh", () => {
  for (const checkHash of [false, true])
    test(`two nodes that follow each other keep all writes to one block (checkHash ${checkHash})`, async () => {
      await using mesh = await meshOf(2, full(2), { checkHash });
      const [a, b] = mesh.nodes as [Node, Node];
      const updates: Update[] = [];
      a.onUpdate((update) => updates.push(update));
      a.write((m) => m.set(0, 1));
      b.write((m) => m.set(1, 2)); // in the same turn: two cells of one block
      await until(() => a.ndarray().get(1) === 2 && b.ndarray().get(0) === 1, "both writes at both");
      expect(agree(mesh.nodes)).toBe(true);
      expect([a.version["n0"], b.version["n1"]]).toEqual([2, 2]);
      expect(updates.filter(({ from, version }) => version > from)).toHaveLength(1);
      expect(updates.at(-1)!.regions.every(({ array }) => array === null)).toBe(true);
    });

  test("of two writes to one element the later wins everywhere, also after a partition", async () => {
    await using mesh = await meshOf(2, full(2), { checkHash: true });
    const [a, b] = mesh.nodes as [Node, Node];
    mesh.part();
    a.write((m) => m.set(5, 10));
    await Bun.sleep(3);
    b.write((m) => m.set(5, 20));
    b.write((m) => m.set(6, 1));
    await Bun.sleep(3);
    a.write((m) => m.set(6, 2));
    mesh.heal();
    await until(() => agree(mesh.nodes), "one state");
    expect([a.ndarray().get(5), a.ndarray().get(6)]).toEqual([20, 2]);
  });

  test("a commit of a full mesh of five is applied once by each, sent over no link twice, and then all is quiet", async () => {
    await using mesh = await meshOf(5, full(5));
    const versions = () => mesh.nodes.map((node, i) => node.version[`n${i}`]!);
    const deltas = () =>
      mesh.nodes
        .flatMap((node) => node.stats().links)
        .reduce((sum, link) => sum + (link.direction === "in" ? link.deltas : 0), 0);
    const [versionsBefore, deltasBefore] = [versions(), deltas()];
    mesh.nodes[2]!.write((m) => m.set(3, 3));
    await until(() => agree(mesh.nodes) && mesh.nodes[0]!.ndarray().get(3) === 3, "the write everywhere");
    await Bun.sleep(200);
    const sent = deltas();
    expect(versions()).toEqual(versionsBefore.map((version) => version + 1));
    expect(sent - deltasBefore).toBeLessThanOrEqual(20);
    await Bun.sleep(300);
    expect(deltas()).toBe(sent);
  });

  test("a ring in which all write at once ends with one state, metadata too", async () => {
    await using mesh = await meshOf(4, ring(4), { checkHash: true });
    for (let round = 0; round < 60; round++) {
      for (const [i, node] of mesh.nodes.entries())
        node.write((m, tx) => {
          m.set((round * 7 + i * 3) % 64, round * 10 + i);
          m.set(round % 5, i);
          tx.meta = { round, by: i };
        });
      if (round % 3 === 0) await Bun.sleep(1);
      if (round === 30) mesh.part();
      if (round === 40) mesh.heal();
    }
    await until(() => agree(mesh.nodes), "one state");
    expect(mesh.nodes[0]!.meta).toMatchObject({ round: 59 });
  });

  test("a hundred partitions, written on both sides, heal to one state", async () => {
    await using mesh = await meshOf(3, full(3), { checkHash: true });
    const seed = Number(process.env["MEMBLAST_SEED"] ?? 11);
    const random = new Random(seed);
    let slowest = 0;
    for (let round = 0; round < 100; round++) {
      mesh.part();
      for (let k = 0; k < 12; k++)
        random.pick(mesh.nodes).write((m, tx) => {
          for (let i = random.below(4); i >= 0; i--) m.set(random.below(64), random.below(5));
          if (random.below(4) === 0) tx.meta = { round, k };
        });
      mesh.heal();
      const begun = performance.now();
      await until(() => agree(mesh.nodes), `one state after partition ${round} of seed ${seed}`);
      slowest = Math.max(slowest, performance.now() - begun);
    }
    console.log(`100 partitions healed, the slowest in ${Math.round(slowest)} ms`);
  }, 60_000);

  test("a node that comes back without its memory gets everything, and takes nothing back", async () => {
    await using a = await start("a", { mesh: true, listen: 0, shape: [8] });
    const first = await start("b", { mesh: true, listen: 0, server: a.addresses[0]!, shape: [8] });
    await first.ready;
    first.write((m) => m.set(1, 1));
    await using b2 = await start("a2", { mesh: true, server: first.addresses[0]!, shape: [8], ...fast });
    await b2.ready;
    await first.close();
    expect(b2.ndarray().get(1)).toBe(1);
    await using again = await start("b", {
      mesh: true,
      listen: first.addresses[0]!,
      server: a.addresses[0]!,
      shape: [8],
    });
    await again.ready;
    again.write((m) => m.set(2, 2));
    await until(() => b2.ndarray().get(2) === 2, "the write after");
    expect(b2.ndarray().get(1)).toBe(1);
  });

  test("a node of the mesh adopts, maps and shares like any other", async () => {
    const name = uniqueName("mesh");
    await using a = await start("a", {
      mesh: true,
      listen: 0,
      shape: [4, 16],
      arrays: { flags: { shape: [3], dtype: "u8" } },
    });
    await using b = await start(name, {
      mesh: true,
      listen: 0,
      server: a.addresses[0]!,
      share: true,
      writers: "many",
    });
    await using part = await start("c", {
      mesh: true,
      server: b.addresses[0]!,
      arrays: { row: { shape: [1, 16] } },
      maps: [{ array: null, start: [2, 0], shape: [1, 16], to: { array: "row", start: [0, 0] } }],
    });
    await using other = await attach(name, { mode: "rw" });
    await Promise.all([b.ready, part.ready]);
    a.write((m, tx) => {
      m.set(2, 3, 7);
      tx.array("flags").set(1, 9);
    });
    await until(() => part.ndarray("row").get(0, 3) === 7, "the row");
    other.write((m) => m.set(2, 3, 8)); // another process would do the same
    b.write((m) => m.set(2, 4, 1));
    await until(() => part.ndarray("row").get(0, 4) === 1, "b's write");
    expect(part.ndarray("row").get(0, 3)).toBe(8);
    expect(b.ndarray("flags").get(1)).toBe(9);
  });

  test("a plain relay carries a mesh's stamps on, a plain follower leaves them out", async () => {
    await using a = await start("a", { mesh: true, listen: 0, shape: [8] });
    await using relay = await start("r", { listen: 0, server: a.addresses[0]! });
    await using b = await start("b", { mesh: true, server: relay.addresses[0]!, shape: [8] });
    await using leaf = await start("l", { server: a.addresses[0]! });
    await Promise.all([relay.ready, b.ready, leaf.ready]);
    b.write((m) => m.set(1, 5));
    await Bun.sleep(3);
    a.write((m) => m.set(2, 1));
    a.write((m) => m.set(1, 6));
    await until(() => b.ndarray().get(1) === 6, "the later write");
    expect(leaf.schema.arrays.map((array) => array.name)).toEqual([null]);
    expect(relay.schema.arrays.map((array) => array.name)).toEqual([null, "@stamps", "@meta"]);
  });

  test("who would lose the stamps on the way, or has none, is refused with what to do", async () => {
    await using plain = await start("p", { listen: 0, shape: [8] });
    await using mesh = await start("m", { mesh: true, listen: 0, shape: [8] });
    const refusal = async (options: object) => {
      await using node = await start("n", { shape: [8], ...options, onError: () => {} });
      return await codeOf(() => node.ready);
    };
    expect(await refusal({ mesh: true, server: plain.addresses[0]! })).toBe("SCHEMA_MISMATCH");
    expect(await refusal({ listen: 0, server: mesh.addresses[0]! })).toBe("SCHEMA_MISMATCH");
    expect(await refusal({ server: mesh.addresses[0]! })).toBe("none");
  });

  test("a relay leaves the mesh's metadata alone", async () => {
    await using a = await start("a", { mesh: true, listen: 0, shape: [8] });
    await using relay = await start("r", { listen: 0, server: a.addresses[0]! });
    await relay.ready;
    expect(await codeOf(() => relay.write((_, tx) => (tx.meta = 1)))).toBe("FOLLOWED");
    a.write((_, tx) => (tx.meta = 2));
    await until(() => relay.meta === 2, "the mesh's");
  });

  test("one's own metadata that come back are no update", async () => {
    await using mesh = await meshOf(2, full(2));
    const [a, b] = mesh.nodes as [Node, Node];
    let updates = 0;
    a.onUpdate(() => updates++);
    for (let i = 0; i < 5; i++) {
      a.write((_, tx) => (tx.meta = i));
      await until(() => b.meta === i, "the metadata");
      await Bun.sleep(5);
    }
    expect(updates).toBe(0);
  });

  test("a right to a region is one to its stamps", async () => {
    const secret = { keyId: "rows", secret: "a secret of sixteen" };
    const secrets = { rows: { secret: secret.secret, regions: [{ start: [1, 0], shape: [2, 4] }] } };
    await using a = await start("a", { mesh: true, listen: 0, shape: [4, 4], secrets });
    const follow = (from: number) => ({
      mesh: true,
      shape: [4, 4],
      server: {
        address: a.addresses[0]!,
        secret,
        maps: [[[from, 0], [2, 4], [from, 0], null] as const] as never,
      },
    });
    await using b = await start("b", follow(1));
    await b.ready;
    a.write((m) => m.set(2, 2, 1));
    await until(() => b.ndarray().get(2, 2) === 1, "the write");
    await using c = await start("c", follow(0));
    c.on("error", () => {});
    expect(await codeOf(() => c.ready)).toBe("REFUSED");
  });

  test("what claims to be of the far future is left out, told once, and healed by writing again", async () => {
    const errors: MemblastError[] = [];
    const { now } = Date;
    await using ahead = await start("ahead", { mesh: true, listen: 0, shape: [8] });
    ahead.write((m) => m.set(0, 1));
    Date.now = () => now() + 5 * 3_600_000;
    try {
      ahead.write((m, tx) => {
        m.set(1, 1);
        tx.meta = "late";
      });
    } finally {
      Date.now = now;
    }
    await using b = await start("b", {
      mesh: true,
      server: ahead.addresses[0]!,
      shape: [8],
      onError: (error) => errors.push(error),
    });
    await b.ready;
    expect([...b.ndarray().data]).toEqual([1, 0, 0, 0, 0, 0, 0, 0]);
    expect(b.meta).toBeUndefined();
    ahead.write((m) => m.set(2, 1));
    await until(() => b.ndarray().get(2) === 1, "another element");
    expect(errors.map(({ code }) => code)).toEqual(["CLOCK_AHEAD"]);
    ahead.write((m, tx) => {
      m.set(1, 2);
      tx.meta = "now";
    });
    await until(() => b.ndarray().get(1) === 2, "the element, written again");
    expect(b.meta).toBe("now");
    expect(errors).toHaveLength(1);
  });
});

describe("without a mesh an element has one writer", () => {
  test("a write to followed elements is refused, whole, and names them", async () => {
    await using server = await start("s", { listen: 0, shape: [2, 8] });
    await using node = await start("n", {
      shape: [4, 8],
      server: server.addresses[0]!,
      maps: [[[0, 0], [2, 8], [1, 0], null]],
    });
    await node.ready;
    node.write((m) => m.set(0, 7, 1)); // next to what is followed
    const refused = () =>
      node.write((m) => {
        m.set(3, 0, 5);
        m.set(2, 3, 5);
      });
    expect(refused).toThrow(/main array at \[2, 3\] follows a server/);
    expect(await codeOf(refused)).toBe("FOLLOWED");
    expect(node.ndarray().get(3, 0)).toBe(0);
    server.write((m) => m.set(1, 3, 4));
    await until(() => node.ndarray().get(2, 3) === 4, "the server's write");
    expect(node.ndarray().get(0, 7)).toBe(1);
  });

  test("what a server that was given up wrote, may be written", async () => {
    await using server = await start("s", { listen: 0, shape: [8] });
    await using node = await start("n", {
      shape: [9],
      server: server.addresses[0]!,
      maps: [[[0], [9], [0], null]], // the server has less: found out when it is reached
      onError: () => {},
    });
    expect(await codeOf(() => node.write((m) => m.set(0, 1)))).toBe("FOLLOWED");
    expect(await codeOf(() => node.ready)).toBe("INVALID_REGION");
    node.write((m) => m.set(0, 1));
  });

  test("two servers for one element are refused at start, by name", async () => {
    await using a = await start("a", { listen: 0, shape: [8] });
    await using b = await start("b", { listen: 0, shape: [8] });
    const servers = [a.addresses[0]!, b.addresses[0]!];
    expect(await codeOf(() => start("n", { shape: [8], servers }))).toBe("INVALID_OPTION");
    const maps = (from: number, to: number) => [[[from], [to - from], [from], null] as const];
    const parts = (split: number) => [
      { address: servers[0]!, maps: maps(0, 5) },
      { address: servers[1]!, maps: maps(split, 8) },
    ];
    expect(await codeOf(() => start("n", { shape: [8], servers: parts(4) as never }))).toBe("INVALID_OPTION");
    await using node = await start("n", { shape: [8], servers: parts(5) as never });
    await node.ready;
  });

  test("nodes that own a part each and follow the others' end equal, metadata of their own untouched", async () => {
    using proxy = new Proxy(null);
    const own = (from: number) => [[[from], [4], [from], null] as const] as never;
    await using a = await start("a", {
      listen: 0,
      shape: [8],
      server: { address: proxy.address, maps: own(4) },
      ...fast,
    });
    await using b = await start("b", {
      listen: 0,
      shape: [8],
      server: { address: a.addresses[0]!, maps: own(0) },
    });
    proxy.target = b.addresses[0]!;
    await Promise.all([a.ready, b.ready]);
    for (let i = 1; i <= 50; i++) {
      a.write((m, tx) => {
        m.set(i % 4, i);
        tx.meta = { a: i };
      });
      b.write((m, tx) => {
        m.set(4 + (i % 4), i);
        tx.meta = { b: i };
      });
      if (i % 10 === 0) await Bun.sleep(1);
    }
    await until(() => a.ndarray().equals(b.ndarray()), "both parts at both");
    expect([a.meta, b.meta]).toEqual([{ a: 50 }, { b: 50 }]);
    const versions = [a.version["a"], b.version["b"]];
    await Bun.sleep(100);
    expect([a.version["a"], b.version["b"]]).toEqual(versions);
  });
});
