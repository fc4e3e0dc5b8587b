import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { arraySchema, schemaFromJson } from "../../src/array/schema.ts";
import { attach, type MemblastError, type Node, start, type Update } from "../../src/index.ts";
import { Segment } from "../../src/memory/segment.ts";
import { uniqueName } from "../memory/names.ts";
import { Proxy } from "./proxy.ts";
import { codeOf, until } from "./until.ts";

setDefaultTimeout(30_000);

const fast = { reconnect: { minMs: 5, maxMs: 50 } };

function sameArrays(a: Node, b: Node): boolean {
  return a.schema.arrays.every(({ name }) => b.ndarray(name).equals(a.ndarray(name)));
}

describe("following", () => {
  test("a follower without arrays takes over the server's, and every version after", async () => {
    await using server = await start("s", {
      listen: 0,
      shape: [3, 4],
      arrays: { w1: { shape: [5], dtype: "i16" }, flags: { shape: [], dtype: "bool" } },
    });
    server.write((a, tx) => {
      a.set(2, 3, 1.25);
      tx.array("flags").set(true);
      tx.meta = { step: 1 };
    });
    const updates: Update[] = [];
    await using follower = await start("f", {
      server: server.addresses[0]!,
      onUpdate: (update) => updates.push(update),
    });
    await follower.ready;
    expect(sameArrays(server, follower)).toBe(true);
    expect(follower.meta).toEqual({ step: 1 });
    expect(updates[0]!.full).toBe(true);
    server.write((_, tx) => tx.array("w1").set(4, -7));
    await until(() => updates.length === 2, "the second update");
    expect(updates[1]).toMatchObject({ full: false, sourceVersion: 2, source: server.addresses[0]! });
    expect(updates[1]!.regions.map((region) => region.array)).toEqual(["w1"]);
    expect(follower.version).toEqual({ f: 2, [server.addresses[0]!]: 2 });
    expect(sameArrays(server, follower)).toBe(true);
  });

  test("maps bring regions where they belong, and nothing else", async () => {
    await using server = await start("s", { listen: 0, shape: [10, 5] });
    server.write((a) => {
      for (let i = 0; i < 50; i++) a.set(Math.floor(i / 5), i % 5, i);
    });
    await using follower = await start("f", {
      server: server.addresses[0]!,
      shape: [2, 5],
      maps: [
        [[2, 0], [1, 5], [0, 0], null],
        [[7, 0], [1, 5], null, "ticker_7"],
        [[0, 3], [10, 1], null, "column"],
      ],
    });
    await follower.ready;
    expect(follower.read((a) => a.toArray())).toEqual([
      [10, 11, 12, 13, 14],
      [0, 0, 0, 0, 0],
    ]);
    expect(follower.ndarray("ticker_7").toArray()).toEqual([[35, 36, 37, 38, 39]]);
    expect(follower.ndarray("column").toArray()).toEqual(Array.from({ length: 10 }, (_, i) => [5 * i + 3]));
    server.write((a) => {
      a.set(2, 1, -1);
      a.set(9, 3, -2);
      a.set(4, 4, -3);
    });
    await until(() => follower.ndarray("column").get(9, 0) === -2, "the change");
    expect(follower.read((a) => a.get(0, 1))).toBe(-1);
    expect(follower.version["f"]).toBe(2);
  });

  test("a commit outside of what is followed is not sent", async () => {
    await using server = await start("s", { listen: 0, shape: [1000] });
    await using follower = await start("f", {
      server: server.addresses[0]!,
      maps: [[[0], [8], null, "head"]],
    });
    await follower.ready;
    const link = () => server.stats().links[0]!;
    const before = link().sentBytes;
    for (let i = 0; i < 20; i++) {
      server.write((a) => a.set(900, i + 1));
      await Bun.sleep(0);
    }
    expect(link().sentBytes).toBe(before);
    server.write((a) => a.set(3, 5));
    await until(() => follower.ndarray("head").get(3) === 5, "the followed cell");
  });

  test("what does not fit is refused with the difference", async () => {
    await using server = await start("s", { listen: 0, shape: [3, 4] });
    const address = server.addresses[0]!;
    const refused = async (options: object) => {
      await using node = await start("f", { server: address, ...options });
      node.on("error", () => {});
      return await codeOf(() => node.ready);
    };
    expect(await refused({ shape: [3, 5] })).toBe("SCHEMA_MISMATCH");
    expect(await refused({ shape: [3, 4], dtype: "f32" })).toBe("SCHEMA_MISMATCH");
    expect(await refused({ arrays: { other: { shape: [1] } } })).toBe("SCHEMA_MISMATCH");
    expect(await refused({ maps: [[[2, 0], [2, 4], null, "rows"]] })).toBe("INVALID_REGION");
    const beyond = { server: address, shape: [1, 4], maps: [[[0, 0], [1, 4], [1, 0], null] as const] };
    expect(await codeOf(() => start("f", beyond as object))).toBe("INVALID_REGION");
  });

  test("a relay passes on what it follows", async () => {
    await using source = await start("a", { listen: 0, shape: [64] });
    await using relay = await start("b", { listen: 0, server: source.addresses[0]! });
    await using leaf = await start("c", { server: relay.addresses[0]!, checkHash: true });
    await leaf.ready;
    for (let i = 1; i <= 20; i++) {
      source.write((a, tx) => {
        a.set(i, i);
        tx.meta = { i };
      });
      await Bun.sleep(1);
    }
    await until(() => leaf.ndarray().get(20) === 20, "the last write at the leaf");
    expect(sameArrays(source, leaf)).toBe(true);
    expect(leaf.meta).toEqual({ i: 20 });
  });

  test("random writes of any dtype end in the same bytes", async () => {
    const dtypes = [
      "i8",
      "u8",
      "i16",
      "u16",
      "i32",
      "u32",
      "i64",
      "u64",
      "f16",
      "f32",
      "f64",
      "bool",
    ] as const;
    const arrays = Object.fromEntries(dtypes.map((dtype) => [dtype, { shape: [7, 11], dtype }]));
    await using server = await start("s", { listen: 0, arrays });
    await using follower = await start("f", { server: server.addresses[0]!, checkHash: true });
    await follower.ready;
    const seed = Date.now() % 1e6;
    console.log(`seed ${seed}`);
    let state = seed;
    const next = (n: number) => (state = (state * 1103515245 + 12345) % 2 ** 31) % n;
    for (let i = 0; i < 300; i++) {
      server.write((_, tx) => {
        const dtype = dtypes[next(dtypes.length)]!;
        const bytes = tx.array(dtype).data;
        new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)[next(bytes.byteLength)] = next(256);
      });
      if (i % 7 === 0) await Bun.sleep(0);
    }
    const last = server.version["s"]!;
    await until(() => follower.version[server.addresses[0]!] === last, `version ${last} (seed ${seed})`);
    expect(sameArrays(server, follower)).toBe(true);
    expect(follower.stats().links[0]!.repairs).toBe(0);
  });

  test("the server goes and comes back: another incarnation is a full delta", async () => {
    const server = await start("s", { listen: 0, shape: [4] });
    const address = server.addresses[0]!;
    server.write((a) => a.fill(1));
    await using follower = await start("f", { server: address, shape: [4], ...fast });
    const reasons: string[] = [];
    follower.on("disconnect", (event) => reasons.push(event.reason));
    follower.on("error", () => {});
    await follower.ready;
    await server.close();
    await until(() => reasons.length > 0, "the goodbye");
    expect(reasons[0]).toContain("closing");
    const updates: Update[] = [];
    follower.onUpdate((update) => updates.push(update));
    await using again = await start("s", { listen: address, shape: [4] });
    again.write((a) => a.set(0, 9));
    await until(() => follower.ndarray().get(0) === 9, "the new state");
    expect(updates[0]!.full).toBe(true);
    expect(follower.ndarray().toArray()).toEqual([9, 0, 0, 0]);
  });
});

describe("resume", () => {
  test("cut in mid-delta, a client keeps its version whole, comes back, and gets only what changed since", async () => {
    const cells = 1 << 18;
    await using server = await start("s", { listen: 0, shape: [cells] });
    using proxy = new Proxy(server.addresses[0]!);
    await using follower = await start("f", { server: proxy.address, shape: [cells], ...fast });
    follower.on("error", () => {});
    await follower.ready;
    const fullBytes = proxy.servedBytes;
    expect(fullBytes).toBeGreaterThan(cells * 8);

    proxy.cutAfterBytes = proxy.servedBytes + 300_000; // in the second frame of the next delta
    server.write((a) => a.slice([0], [100_000]).fill(3));
    await until(() => proxy.connections > 1, "the reconnect");
    proxy.cutAfterBytes = Infinity;
    expect(follower.read((a, view) => [a.get(0), a.get(99_999), view.version])).toEqual([0, 0, 0]);
    await until(() => follower.ndarray().get(99_999) === 3, "the delta, whole");
    expect(follower.ndarray().equals(server.ndarray())).toBe(true);

    const before = proxy.connections;
    proxy.cutAll();
    server.write((a) => a.set(7, 4));
    await until(() => follower.ndarray().get(7) === 4, "the cell after the cut");
    expect(proxy.connections).toBe(before + 1);
    // a handshake and one block, not two megabytes
    expect(proxy.servedBytes).toBeLessThan(3000);
  });

  test("cut at every one of many byte counts, it ends in the server's bytes", async () => {
    await using server = await start("s", { listen: 0, shape: [4096] });
    using proxy = new Proxy(server.addresses[0]!);
    server.write((a) => a.fill(1));
    await using follower = await start("f", {
      server: proxy.address,
      shape: [4096],
      reconnect: { minMs: 1, maxMs: 4 },
      checkHash: true,
    });
    follower.on("error", () => {});
    for (let cut = 1, step = 1; cut < 40_000; cut += step++) {
      proxy.cutAfterBytes = cut;
      server.write((a) => a.set(cut % 4096, cut));
      proxy.cutAll();
      if (step % 8 === 0) await Bun.sleep(3);
    }
    proxy.cutAfterBytes = Infinity;
    proxy.cutAll();
    await until(() => follower.ndarray().equals(server.ndarray()), "equal arrays");
    expect(follower.stats().links[0]!.repairs).toBe(0);
  });
});

describe("slow clients", () => {
  test("one that does not read for 5 s while the server commits 100,000 times costs no memory, then needs one delta", async () => {
    await using server = await start("s", { listen: 0, shape: [64, 1024] });
    const child = Bun.spawn(["bun", join(import.meta.dir, "children/follow.ts"), server.addresses[0]!], {
      stdout: "pipe",
      stderr: "inherit",
    });
    const lines = new Lines(child.stdout);
    expect(await lines.next()).toBe("ready");
    child.kill("SIGSTOP");
    const end = performance.now() + 5000;
    const commit = (i: number) => server.write((a) => a.set(i % 64, (i * 7) % 1024, i));
    for (let i = 1; i <= 2000; i++) {
      commit(i); // enough turns of the event loop to fill every buffer on the way
      await Bun.sleep(0);
    }
    Bun.gc(true);
    const before = process.memoryUsage().rss;
    for (let i = 2001; i <= 100_000; i++) {
      commit(i);
      if (i % 200 === 0) await Bun.sleep(0);
    }
    Bun.gc(true);
    const grown = process.memoryUsage().rss - before;
    await Bun.sleep(Math.max(0, end - performance.now()));
    const { deltas, queuedBytes } = server.stats().links[0]!;
    expect(queuedBytes).toBeLessThan(1 << 20); // at most the one delta that is under way
    expect(grown).toBeLessThan(32 << 20);
    child.kill("SIGCONT");
    const version = server.version["s"]!;
    expect(version).toBe(100_000);
    for (let line = await lines.next(); line !== `version ${version}`; line = await lines.next())
      expect(line.startsWith("version ")).toBe(true);
    expect(server.stats().links[0]!.deltas - deltas).toBeLessThanOrEqual(2); // the one under way, and one more
    expect(server.stats().links[0]!.conflatedVersions).toBeGreaterThan(90_000);
    child.kill();
    await child.exited;
  }, 20_000);

  test("a large delta that commits overtake is still of one version", async () => {
    const cells = 1 << 20;
    await using server = await start("s", { listen: 0, shape: [cells] });
    server.write((a) => a.fill(1));
    const torn: number[] = [];
    await using follower = await start("f", {
      server: server.addresses[0]!,
      shape: [cells],
      onUpdate: (_, node) => {
        const data = node.read((a) => a.data as Float64Array);
        if (data.some((cell) => cell !== data[0])) torn.push(data[0]!);
      },
    });
    for (let version = 2; version < 30; version++) {
      server.write((a) => a.fill(version));
      await Bun.sleep(version % 3); // in the middle of what is being sent, mostly
    }
    await until(() => follower.ndarray().get(cells - 1) === 29, "the last version");
    expect(torn).toEqual([]);
  });

  test("updates() gives a slow consumer one merged update, and misses nothing", async () => {
    await using server = await start("s", { listen: 0, shape: [1000] });
    await using follower = await start("f", { server: server.addresses[0]!, shape: [1000] });
    await follower.ready;
    const updates = follower.updates();
    for (let i = 0; i < 10; i++) {
      server.write((a) => a.set(i * 100, 1));
      await Bun.sleep(2);
    }
    await until(() => follower.ndarray().get(900) === 1, "the last cell");
    const { value: update } = (await updates.next()) as { value: Update };
    const rows = update.regions.map((region) => region.start[0]!);
    for (let i = 0; i < 10; i++) expect(rows.some((row) => row <= i * 100 && i * 100 < row + 8)).toBe(true);
    await updates.return!();
  });
});

/** Writes an element in the memory of another, whoever it belongs to. */
function scribble(name: string, array: string | null, element: number): void {
  using segment = Segment.attach(name, { mode: "rw" });
  const { offset } = arraySchema(schemaFromJson(segment.schemaText), array);
  segment.begin();
  new Float64Array(segment.buffer("working", offset + 8 * element, 8))[0] = -1;
  segment.touch(offset + 8 * element, 8);
  segment.commit();
}

describe("verification", () => {
  test("what was changed behind the back is found by the next delta, and repaired", async () => {
    await using server = await start("s", { listen: 0, shape: [50_000] });
    server.write((a) => a.fill(2));
    const name = uniqueName("stranger");
    await using follower = await start(name, {
      server: server.addresses[0]!,
      shape: [50_000],
      checkHash: true,
      share: true,
      writers: "many",
    });
    await follower.ready;
    const mismatches: string[] = [];
    follower.on("mismatch", (event) => mismatches.push(event.source));
    scribble(name, null, 40_000);
    const served = server.stats().links[0]!.sentBytes;
    server.write((a) => a.set(3, 5));
    await until(() => follower.ndarray().get(3) === 5, "the repaired state");
    expect(follower.ndarray().equals(server.ndarray())).toBe(true);
    expect(mismatches).toEqual([server.addresses[0]!]);
    expect(server.stats().links[0]).toMatchObject({ repairs: 1 });
    expect(server.stats().links[0]!.sentBytes - served).toBeLessThan(30_000);
    server.write((a) => a.set(4, 6));
    await until(() => follower.ndarray().get(4) === 6, "the delta after");
    expect(mismatches.length).toBe(1);
  });

  test.each(["twice", "first", null])(
    "of two places of the same element, %p is looked at too",
    async (spoiled) => {
      await using server = await start("s", { listen: 0, shape: [2000] });
      server.write((a) => a.fill(2));
      const name = uniqueName("stranger");
      await using follower = await start(name, {
        server: server.addresses[0]!,
        arrays: { first: { shape: [2000] }, twice: { shape: [1000] } },
        maps: [
          [[0], [2000], null, "first"],
          [[500], [1000], null, "twice"],
        ],
        checkHash: true,
        share: true,
        writers: "many",
      });
      await follower.ready;
      if (spoiled) scribble(name, spoiled, 700);
      server.write((a) => a.set(3, 5));
      await until(() => follower.ndarray("first").get(3) === 5, "the next state");
      const [first, twice] = ["first", "twice"].map((array) => follower.ndarray(array));
      expect(first!.equals(server.ndarray())).toBe(true);
      expect(twice!.equals(server.ndarray().slice([500], [1000]))).toBe(true);
      expect(server.stats().links[0]!.repairs).toBe(spoiled ? 1 : 0);
    },
  );
});

describe("hostile and broken peers", () => {
  test("a protocol error names its reason on both sides, closes that link alone and harms nothing", async () => {
    await using server = await start("s", { listen: 0, shape: [4] });
    const errors: MemblastError[] = [];
    server.on("error", (error) => errors.push(error));
    await using honest = await start("f", { server: server.addresses[0]!, shape: [4] });
    await honest.ready;
    const heard = Promise.withResolvers<string>();
    let text = "";
    const port = Number(server.addresses[0]!.split(":")[1]);
    const liar = await Bun.connect({
      hostname: "127.0.0.1",
      port,
      socket: {
        data: (_, bytes) => void (text += bytes.toString("latin1")),
        close: () => heard.resolve(text),
      },
    });
    liar.write("GET / HTTP/1.1\r\nHost: memblast\r\n\r\n");
    expect(await heard.promise).toContain('"code":"BAD_HEADER"');
    await until(() => errors.length === 1, "the server's side of it");
    expect(errors[0]!.code).toBe("PROTOCOL");
    expect(errors[0]!.details["reason"]).toBe("BAD_HEADER");
    server.write((a) => a.set(0, 1));
    await until(() => honest.ndarray().get(0) === 1, "the honest follower");
  });
});

describe("attach", () => {
  test("a second process attaches by name and sees commits, metadata and regions without any socket", async () => {
    const name = uniqueName("node");
    await using node = await start(name, { shape: [3, 390], share: true });
    node.write((a, tx) => {
      a.set(0, 0, 1);
      tx.meta = { index: 0 };
    });
    const child = Bun.spawn(["bun", join(import.meta.dir, "children/attach.ts"), name], {
      stdout: "pipe",
      stderr: "inherit",
    });
    const lines = new Lines(child.stdout);
    expect(JSON.parse(await lines.next())).toEqual({ version: 1, cell: 1, meta: { index: 0 } });
    node.write((a, tx) => {
      a.set(0, 0, 2);
      tx.meta = { index: 1 };
    });
    expect(JSON.parse(await lines.next())).toMatchObject({
      version: 2,
      cell: 2,
      meta: { index: 1 },
      rows: [0],
    });
    expect(await child.exited).toBe(0);
  });

  test("the same process may attach too; a wrong name is NOT_FOUND; a second owner EXISTS", async () => {
    const name = uniqueName("node");
    await using node = await start(name, { shape: [4], share: true });
    await using reader = await attach(name);
    node.write((a) => a.set(2, 5));
    expect(reader.read((a) => a.get(2))).toBe(5);
    expect(reader.ndarray().get(2)).toBe(5);
    expect(await codeOf(() => reader.write(() => {}))).toBe("READ_ONLY");
    expect(await codeOf(() => attach(uniqueName("nobody")))).toBe("NOT_FOUND");
    expect(await codeOf(() => start(name, { shape: [4], share: true }))).toBe("EXISTS");
  });
});

/** Lines of a child's output, one at a time. */
class Lines {
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #decoder = new TextDecoder();
  #text = "";

  constructor(stream: ReadableStream<Uint8Array>) {
    this.#chunks = stream[Symbol.asyncIterator]();
  }

  async next(): Promise<string> {
    for (;;) {
      const end = this.#text.indexOf("\n");
      if (end >= 0) {
        const line = this.#text.slice(0, end);
        this.#text = this.#text.slice(end + 1);
        return line;
      }
      const { value, done } = await this.#chunks.next();
      if (done) throw new Error("the child ended");
      this.#text += this.#decoder.decode(value);
    }
  }
}
