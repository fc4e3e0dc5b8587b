import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { type MemblastError, type Node, start } from "../../src/index.ts";
import { certificates } from "../transport/certificates.ts";
import { until } from "./until.ts";

setDefaultTimeout(30_000);

const { server: identity, authority: ca } = certificates;

function digest(node: Node): string {
  const { buffer, byteOffset, byteLength } = node.ndarray().data;
  return new Bun.CryptoHasher("sha256").update(new Uint8Array(buffer, byteOffset, byteLength)).digest("hex");
}

describe("over WebSockets", () => {
  test("a node listens in several ways at once, and a relay follows one and serves another", async () => {
    await using server = await start("server", {
      listen: ["127.0.0.1:0", "ws://127.0.0.1:0/", "wss://127.0.0.1:0/deep/path"],
      shape: [200, 100],
      tls: identity,
    });
    server.write((a) => a.fill(1));
    const [tcp, ws, wss] = server.addresses as [string, string, string];
    expect(wss).toMatch(/^wss:\/\/127\.0\.0\.1:\d+\/deep\/path$/);
    await using byTcp = await start("by-tcp", { server: tcp });
    await using byWs = await start("by-ws", { server: ws, checkHash: true, listen: "ws://127.0.0.1:0/" });
    await using byWss = await start("by-wss", { server: wss, tls: { ca }, checkHash: true });
    await using behind = await start("behind", { server: byWs.addresses[0]!, checkHash: true });
    const all = [byTcp, byWs, byWss, behind];
    await Promise.all(all.map((node) => node.ready));
    for (let i = 0; i < 100; i++) {
      server.write((a) => a.set(i, i, i));
      if (i % 10 === 0) await Bun.sleep(1);
    }
    await until(() => all.every((node) => digest(node) === digest(server)), "all hold the same");
    expect(server.stats().links.filter(({ direction }) => direction === "in")).toHaveLength(3);
    expect(all.flatMap((node) => node.stats().links).every(({ repairs }) => repairs === 0)).toBe(true);
  });

  test("a page's origin can be allowed, and a name", async () => {
    await using node = await start("server", {
      listen: "ws://127.0.0.1:0/",
      shape: [1],
      origins: ["https://app.example"],
      hosts: ["data.example"],
    });
    const url = node.addresses[0]!.replace("ws:", "http:");
    const status = async (headers: Record<string, string>) => {
      const upgrade = { Upgrade: "websocket", Connection: "Upgrade", "Sec-WebSocket-Version": "13" };
      const response = await fetch(url, { headers: { ...upgrade, ...headers } });
      return response.status;
    };
    // Without a key even those who may come in get no further than 400.
    expect(await status({ Origin: "https://app.example", Host: "data.example" })).toBe(400);
    expect(await status({ Origin: "https://app.example", Host: "other.example" })).toBe(421);
    const key = { "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==" };
    expect(await status({ ...key, Origin: "http://localhost" })).toBe(403);
    expect((await fetch(url)).status).toBe(426);
  });

  test.each([
    [403, "given up"],
    [421, "given up"],
    [426, "connecting"],
    [503, "connecting"],
  ] as const)("whose upgrade is answered with %d is then %s", async (status, state) => {
    let attempts = 0;
    const text = { headers: { "content-type": "text/plain" }, status };
    using door = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: () => new Response(`Not you, for the ${++attempts}th time.`, text),
    });
    const errors: MemblastError[] = [];
    await using node = await start("f", {
      server: `ws://127.0.0.1:${door.port}/`,
      shape: [1],
      reconnect: { minMs: 1, maxMs: 5 },
      onError: (error) => void errors.push(error),
    });
    await until(() => errors.length > 0, "the refusal");
    if (state === "connecting") await until(() => attempts > 2, "further attempts");
    const code = state === "given up" ? "REFUSED" : "CONNECT_FAILED";
    expect(errors.map((error) => error.code)).toEqual([code]);
    expect(errors[0]).toMatchObject({ details: { reason: "upgrade", status } });
    expect(errors[0]!.message).toContain("Not you, for the 1th time");
    expect(node.stats().links).toMatchObject([
      { state, reason: expect.stringContaining("Not you, for the") },
    ]);
  });

  test("a follower that is stopped costs next to nothing, and gets one consistent delta when it wakes", async () => {
    await using node = await start("server", { listen: "ws://127.0.0.1:0/", shape: [1024, 512] });
    const script = `
      const { connect } = await import(${JSON.stringify(import.meta.resolve("../../src/browser/index.ts"))});
      const client = connect(${JSON.stringify(node.addresses[0])}, { checkHash: true });
      await client.ready;
      console.log("ready");
      client.onUpdate(() => {
        if (!client.meta?.done) return;
        const { buffer, byteOffset, byteLength } = client.data();
        const bytes = new Uint8Array(buffer, byteOffset, byteLength);
        console.log(new Bun.CryptoHasher("sha256").update(bytes).digest("hex"), JSON.stringify(client.stats()));
        process.exit(0);
      });`;
    const child = Bun.spawn([process.execPath, "-e", script], { stdout: "pipe", stderr: "inherit" });
    const reader = child.stdout.getReader();
    expect(new TextDecoder().decode((await reader.read()).value)).toContain("ready");
    child.kill("SIGSTOP");
    const before = process.memoryUsage.rss();
    let queuedMax = 0;
    let frame = 0;
    const end = performance.now() + 1500;
    while (performance.now() < end) {
      node.write((a) => a.fill(++frame));
      await Bun.sleep(0);
      queuedMax = Math.max(queuedMax, node.stats().links[0]!.queuedBytes);
    }
    const grown = process.memoryUsage.rss() - before;
    node.write((a, tx) => {
      a.set(0, 0, -1);
      tx.meta = { done: true };
    });
    child.kill("SIGCONT");
    const said = new TextDecoder().decode((await reader.read()).value);
    expect(said).toStartWith(digest(node));
    const { deltas, mismatches } = JSON.parse(said.slice(65)) as Record<string, number>;
    console.log(
      `stopped follower: ${frame} versions of 4 MiB, ${deltas} deltas, at most ${queuedMax} bytes queued, memory grown by ${grown >> 20} MiB`,
    );
    expect(mismatches).toBe(0);
    expect(deltas).toBeLessThan(frame);
    // What the link was handed when it said stop, and one frozen delta.
    expect(queuedMax).toBeLessThan(2 * 1024 * 1024);
    await child.exited;
  }, 30_000);
});
