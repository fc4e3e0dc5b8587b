import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { dtypes, type Node, start, type StartOptions } from "../../src/index.ts";
import { Proxy } from "../node/proxy.ts";
import { Random, seed } from "../transport/random.ts";
import { Browser, describeInBrowser, serveModule } from "./chromium.ts";

setDefaultTimeout(30_000);

// What a page gets, in a real browser. tests/browser/client.test.ts has the same client under Bun.

const timeoutMs = 60_000;

function serve(options: Partial<StartOptions>): Promise<Node> {
  return start("server", { listen: "ws://127.0.0.1:0/", ...options });
}

/** In the page: the bytes of an array of `client` as SHA-256 in hex. */
const digestOf = (name: string | null) => `(async () => {
  const { buffer, byteOffset, byteLength } = client.data(${JSON.stringify(name)});
  const hash = await crypto.subtle.digest("SHA-256", buffer.slice(byteOffset, byteOffset + byteLength));
  return Array.from(new Uint8Array(hash), (byte) => byte.toString(16).padStart(2, "0")).join("");
})()`;

function digest(node: Node, name: string | null = null): string {
  const { buffer, byteOffset, byteLength } = node.ndarray(name).data;
  return new Bun.CryptoHasher("sha256").update(new Uint8Array(buffer, byteOffset, byteLength)).digest("hex");
}

describeInBrowser("in Chromium", () => {
  let server: Bun.Server<unknown>;
  let browser: Browser;
  beforeAll(async () => {
    server = await serveModule();
    browser = new Browser();
  }, timeoutMs);
  afterAll(() => {
    browser[Symbol.dispose]();
    void server.stop(true);
  });

  async function connect(url: string, options: object = {}): Promise<void> {
    await browser.open(`http://127.0.0.1:${server.port}/`);
    await browser.until("globalThis.memblast");
    await browser.evaluate(
      `void (globalThis.client = memblast.connect(${JSON.stringify(url)}, ${JSON.stringify(options)}))`,
    );
    await browser.evaluate("client.ready.then(() => true)");
  }

  test(
    `1,000 random commits end with the server's values, every root right (seed ${seed})`,
    async () => {
      const random = new Random();
      const arrays = Object.fromEntries(dtypes.map((dtype) => [dtype, { shape: [7, 9], dtype }]));
      await using node = await serve({ shape: [200, 300], dtype: "f64", arrays });
      await connect(node.addresses[0]!, { checkHash: true });
      for (let commit = 1; commit <= 1000; commit++) {
        node.write((a, tx) => {
          for (let i = random.between(1, 9); i > 0; i--)
            a.set(random.between(0, 199), random.between(0, 299), random.between(0, 1e6) / 7);
          const dtype = dtypes[commit % dtypes.length]!;
          const value = random.between(0, 200);
          const cell =
            dtype === "bool" ? value > 100 : /64$/.test(dtype) && dtype !== "f64" ? BigInt(value) : value;
          tx.array(dtype).set(random.between(0, 6), random.between(0, 8), cell as never);
          tx.meta = { commit };
        });
        if (commit % 10 === 0) await Bun.sleep(1);
      }
      await browser.until("client.meta?.commit === 1000");
      expect(await browser.evaluate<number>("client.version")).toBe(node.version["server"]!);
      for (const name of [null, ...dtypes])
        expect(await browser.evaluate<string>(digestOf(name))).toBe(digest(node, name));
      expect(await browser.evaluate<object>("client.stats()")).toMatchObject({
        mismatches: 0,
        connects: 1,
        connected: true,
      });
    },
    timeoutMs,
  );

  test(
    "it proves a secret, and sees every commit by itself",
    async () => {
      const secret = "correct horse battery staple";
      await using node = await serve({ shape: [8], secrets: { page: { secret } } });
      node.on("error", () => {});
      await connect(node.addresses[0]!, {
        secret: { keyId: "page", secret },
        mode: "every",
        checkHash: true,
      });
      await browser.evaluate(
        "void (globalThis.seen = [], client.onUpdate(() => seen.push([client.version, client.ndarray().get(0)])))",
      );
      for (let i = 1; i <= 300; i++) node.write((a) => a.set(0, i));
      await browser.until("client.version === 300");
      const seen = await browser.evaluate<number[][]>("seen");
      expect(seen).toEqual(Array.from({ length: 300 }, (_, i) => [i + 1, i + 1]));
      expect(node.stats().links[0]!.key).toBe("page");
      const refused = await browser.evaluate<string>(
        `memblast.connect(${JSON.stringify(node.addresses[0])}, { secret: { keyId: "page", secret: "${secret}!" } })
          .ready.then(() => "none", (error) => error.code)`,
      );
      expect(refused).toBe("REFUSED");
    },
    timeoutMs,
  );

  test(
    "after a cut it goes on from the version it has",
    async () => {
      await using node = await serve({ shape: [300, 300], dtype: "f64" });
      node.write((a) => a.fill(1));
      using proxy = new Proxy(new URL(node.addresses[0]!).host);
      await connect(`ws://${proxy.address}/`, { reconnect: { minMs: 10, maxMs: 50 } });
      proxy.cutAll();
      node.write((a) => a.set(299, 299, 42));
      await browser.until("client.version === 2");
      expect(await browser.evaluate<string>(digestOf(null))).toBe(digest(node));
      expect(await browser.evaluate<object>("client.stats()")).toMatchObject({
        connects: 2,
        fullDeltas: 1,
        deltas: 2,
      });
      expect(proxy.servedBytes).toBeLessThan(10_000);
    },
    timeoutMs,
  );

  test(
    "a page that is busy gets the newest state next, and the server holds no queue for it",
    async () => {
      await using node = await serve({ shape: [512, 512], dtype: "f32" });
      await connect(node.addresses[0]!);
      let frame = 0;
      let queuedMax = 0;
      const writer = setInterval(() => {
        node.write((a) => a.fill(++frame));
        for (const link of node.stats().links) queuedMax = Math.max(queuedMax, link.queuedBytes);
      }, 4);
      await Bun.sleep(100);
      await browser.evaluate(
        "(() => { const end = performance.now() + 1500; while (performance.now() < end); })()",
      );
      clearInterval(writer);
      await browser.until(`client.version === ${node.version["server"]}`);
      expect(await browser.evaluate<string>(digestOf(null))).toBe(digest(node));
      const { conflatedVersions, deltas } = await browser.evaluate<Record<string, number>>("client.stats()");
      console.log(
        `busy page: ${frame} versions in ${deltas} updates, at most ${queuedMax} bytes queued for it`,
      );
      expect(conflatedVersions! + deltas!).toBeGreaterThanOrEqual(frame);
      // One delta at a time is on its way, and of it no more than the link was handed when it said stop.
      expect(queuedMax).toBeLessThan(4 * 1024 * 1024);
    },
    timeoutMs,
  );

  test(
    "a region is picked, and another one while it runs",
    async () => {
      await using node = await serve({ shape: [50, 60], dtype: "i32" });
      node.write((a) => {
        for (let i = 0; i < 3000; i++) a.set(Math.floor(i / 60), i % 60, i);
      });
      await connect(node.addresses[0]!, { regions: [{ start: [3, 4], shape: [2, 3], as: "box" }] });
      expect(await browser.evaluate<number[]>('Array.from(client.data("box"))')).toEqual([
        184, 185, 186, 244, 245, 246,
      ]);
      await browser.evaluate("client.follow([{ start: [49, 58] }]).then(() => true)");
      expect(await browser.evaluate<number[]>("Array.from(client.data())")).toEqual([2998, 2999]);
      node.write((a) => a.set(49, 59, -5));
      await browser.until("client.ndarray().get(0, 1) === -5");
    },
    timeoutMs,
  );

  test(
    "pages of a foreign origin are kept out",
    async () => {
      await using node = await serve({ shape: [2], origins: ["https://app.example"] });
      await browser.open(`http://127.0.0.1:${server.port}/`);
      await browser.until("globalThis.memblast");
      const refused = `new Promise((resolve) => {
        const client = memblast.connect(${JSON.stringify(node.addresses[0])});
        client.on("error", ({ code, message }) => { client.close(); resolve([code, message]); });
      })`;
      const [code, message] = await browser.evaluate<string[]>(refused);
      expect(code).toBe("CONNECT_FAILED");
      expect(message).toContain("origin");
      expect(node.stats().links).toEqual([]);
    },
    timeoutMs,
  );
});
