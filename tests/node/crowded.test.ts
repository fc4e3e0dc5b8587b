import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Socket, Subprocess } from "bun";
import { type Node, start } from "../../src/index.ts";
import type { Crowded } from "../../src/node/runtime/events.ts";
import { parseAddress } from "../../src/transport/address.ts";
import { until } from "./until.ts";

setDefaultTimeout(30_000);

const fast = { reconnect: { minMs: 5, maxMs: 100 } };

interface Look {
  readonly share: number;
  readonly links: number;
  readonly refused: number;
  readonly events: string[];
  readonly eaten: number;
}

/** A node in a process that may open only so many files. */
class Crowd {
  readonly #child: Subprocess<"pipe", "pipe", "inherit">;
  readonly #lines: AsyncIterator<string>;

  constructor(filesMax: number, listen: readonly string[]) {
    const script = join(import.meta.dir, "children/crowded.ts");
    const command = `ulimit -n ${filesMax}; exec "$0" "$@"`;
    this.#child = Bun.spawn(["sh", "-c", command, process.execPath, script, ...listen], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "inherit",
    });
    this.#lines = linesOf(this.#child.stdout);
  }

  async answer<T>(): Promise<T> {
    return JSON.parse((await this.#lines.next()).value as string) as T;
  }

  async tell(what: "eat" | "free" | "write" | "look"): Promise<Look> {
    this.#child.stdin.write(`${what}\n`);
    await this.#child.stdin.flush();
    return this.answer<Look>();
  }

  [Symbol.dispose](): void {
    this.#child.kill("SIGKILL");
  }
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let rest = "";
  const decoder = new TextDecoder();
  for await (const chunk of stream) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = parts.pop()!;
    yield* parts;
  }
}

/** The share of a core that a node needs to do nothing, at the best of several looks: on a busy machine each can be a bad one. */
async function idleShare(crowd: Crowd): Promise<number> {
  let least = Infinity;
  for (let i = 0; i < 5 && least >= shareMax; i++) {
    await Bun.sleep(700);
    least = Math.min(least, (await crowd.tell("look")).share);
  }
  return least;
}
/** A listener that spins takes all of a core, or what the others leave of it: at all looks. */
const shareMax = 0.1;

const sockets = new Set<Socket>();
afterEach(() => {
  for (const socket of sockets) socket.terminate();
  sockets.clear();
});

function portOf(address: string): number {
  return (parseAddress(address) as { port: number }).port;
}

/** Whether the port is free again. */
function refuses(address: string): boolean {
  try {
    Bun.listen({ hostname: "127.0.0.1", port: portOf(address), exclusive: true, socket: { data() {} } }).stop(
      true,
    );
    return true;
  } catch {
    return false;
  }
}

/** Somebody who comes and says nothing. */
function knock(address: string): void {
  const at = parseAddress(address);
  const target = at.kind === "unix" ? { unix: at.path } : { hostname: at.host, port: at.port };
  void Bun.connect({
    ...(target as { hostname: string; port: number }),
    socket: {
      open: (socket) => void sockets.add(socket),
      data() {},
      close: (socket) => void sockets.delete(socket),
      connectError() {},
    },
  }).catch(() => {});
}

function follow(server: string, name = "f"): Promise<Node> {
  return start(name, { server, shape: [1000], ...fast });
}

describe("with few files to open", () => {
  test("400 who come at once cost little; those inside notice nothing; when they are gone there is room", async () => {
    using crowd = new Crowd(128, ["127.0.0.1:0"]);
    const [address] = await crowd.answer<string[]>();
    await using inside = await follow(address!);
    await inside.ready;
    for (let i = 0; i < 400; i++) knock(address!);
    let look: Look = await crowd.tell("look");
    const events = [...look.events];
    await until(() => sockets.size <= 64, "those above to be turned away");
    look = await crowd.tell("look");
    events.push(...look.events);
    expect(look.refused).toBeGreaterThanOrEqual(400 - 64);
    expect(look.links).toBeLessThanOrEqual(64);
    const share = await idleShare(crowd); // with everybody still there
    console.log(`CPU with ${sockets.size} inside and the rest turned away: ${(share * 100).toFixed(1)} %`);
    expect(share).toBeLessThan(shareMax);
    await crowd.tell("write");
    await until(() => inside.ndarray().get(0) === 1, "the follower that was there before");
    expect(inside.stats().links[0]!.connected).toBe(true);
    expect(events).toEqual(["files"]);

    for (const socket of sockets) socket.terminate();
    await using late = await follow(address!, "late");
    await late.ready;
    expect(late.ndarray().get(0)).toBe(1);
  }, 20_000);

  test.each(["tcp", "unix", "ws"])(
    "%s: when others have taken every file, it stops to listen instead of spinning, and listens again when there are some",
    async (kind) => {
      const folder = mkdtempSync(join(tmpdir(), "memblast-"));
      try {
        const given = { tcp: "127.0.0.1:0", unix: `unix:${folder}/door`, ws: "ws://127.0.0.1:0/" }[kind]!;
        using crowd = new Crowd(128, [given]);
        const [address] = await crowd.answer<string[]>();
        await using inside = await follow(address!);
        await inside.ready;
        const full = await crowd.tell("eat");
        expect(full.eaten).toBeGreaterThan(50);
        const at = parseAddress(address!);
        const plain = at.kind === "ws" ? `${at.host}:${at.port}` : address!;
        for (let i = 0; i < 20; i++) knock(plain); // they wait to be accepted, which cannot be
        await Bun.sleep(700);
        const { events, refused, links } = await crowd.tell("look");
        expect(events).toEqual(["files"]);
        expect(refused).toBeLessThanOrEqual(20); // of those who knock: nobody else came
        expect(links).toBe(1);
        const share = await idleShare(crowd);
        console.log(`${kind}: CPU without any file left: ${(share * 100).toFixed(1)} %`);
        expect(share).toBeLessThan(shareMax);
        await crowd.tell("write");
        await until(() => inside.ndarray().get(0) === 1, "the follower that was there before");

        await crowd.tell("free");
        await using late = await follow(address!, "late");
        await late.ready;
        expect(late.ndarray().get(0)).toBe(1);
        expect((await crowd.tell("look")).events).toEqual([]);
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    },
    20_000,
  );
});

test("a listener that had to be closed, and whose port somebody else has taken, says so once and goes on trying; the next time again", async () => {
  using crowd = new Crowd(128, ["127.0.0.1:0"]);
  const [address] = await crowd.answer<string[]>();
  for (let round = 0; round < 2; round++) {
    await crowd.tell("eat");
    await until(() => refuses(address!), "it to stop to listen");
    const other = Bun.listen({ hostname: "127.0.0.1", port: portOf(address!), socket: { data() {} } });
    await crowd.tell("free");
    await Bun.sleep(1200);
    const { events, refused } = await crowd.tell("look");
    expect(events).toEqual(["ADDRESS_IN_USE"]);
    expect(refused).toBe(0); // nobody came
    other.stop(true);
    await until(() => !refuses(address!), "it to listen again");
  }
  await using late = await follow(address!, "late");
  await late.ready;
}, 20_000);

test("connectionsMax counts the links of all listeners together", async () => {
  await using server = await start("s", {
    listen: ["127.0.0.1:0", "ws://127.0.0.1:0/"],
    shape: [1000],
    connectionsMax: 3,
  });
  const crowded: Crowded[] = [];
  server.on("crowded", (event) => crowded.push(event));
  const [tcp, ws] = server.addresses as [string, string];
  const inside = await Promise.all([follow(tcp, "a"), follow(ws, "b"), follow(tcp, "c")]);
  await Promise.all(inside.map((node) => node.ready));
  await using late = await follow(ws, "d");
  await until(() => server.stats().door.refused > 2, "the fourth to be turned away");
  expect(server.stats().links.length).toBe(3);
  expect(crowded).toEqual([{ cause: "connections", refused: 1, links: 3 }]); // once, however often it comes
  await inside[0]!.close();
  await late.ready;
  for (const node of inside.slice(1)) await node.close();
});
