// A process that publishes the picture, and commits as it is told.
import { closeSync, openSync, readdirSync, readFileSync } from "node:fs";
import { heapStats } from "bun:jsc";
import { start, type Node } from "../../../src/index.ts";
import { digest, paint, strideDefault } from "../picture.ts";
import { tallyUp } from "../tally.ts";
import { serve } from "./serve.ts";

let node: Node | null = null;
let salt = 1;
let stride = strideDefault;
let timer: ReturnType<typeof setInterval> | null = null;
/** Hashes of the newest versions, made from this process' own memory. */
const hashes = new Map<number, string>();
const hashesMax = 5_000;
let keepsHashes = false;
/** Descriptors that nobody else may have. */
const hoarded: number[] = [];
/** How links ended, and other errors, counted. */
const tally: Record<string, number> = {};

function living(): Node {
  if (!node) throw new Error("no node");
  return node;
}

function commit(count = 1): number {
  for (let i = 0; i < count; i++) {
    paint(living(), salt, stride);
    if (keepsHashes) remember();
  }
  return living().version[living().name]!;
}

function remember(): void {
  const { version, sha } = digest(living());
  hashes.set(version, sha);
  if (hashes.size > hashesMax) hashes.delete(hashes.keys().next().value!);
}

function count(what: string): void {
  tallyUp(tally, what);
}

await serve({
  async open(
    options: Record<string, unknown>,
    picture: { salt: number; cells: number; stride?: number; hashes?: boolean },
  ) {
    salt = picture.salt;
    stride = picture.stride ?? strideDefault;
    keepsHashes = picture.hashes ?? true;
    const { name = "publisher", ...rest } = options as { name?: string };
    node = await start(name, {
      listen: 0,
      shape: [picture.cells],
      arrays: { bytes: { shape: [256], dtype: "u8" } },
      ...rest,
    });
    node.on("error", ({ message }) => count(message.replace(/^Link from .*?: closed/, "end: closed")));
    node.on("disconnect", ({ reason }) => {
      if (!reason.startsWith("closed by")) count(`end: ${reason}`); // those are errors too, and counted there
    });
    if (keepsHashes) remember();
    return {
      addresses: node.addresses,
      incarnation: node.stats().incarnation,
      version: node.version[node.name],
    };
  },
  commit,
  /** Commits once every so many milliseconds; 0: no more. */
  tick(ms: number, each = 1) {
    if (timer) clearInterval(timer);
    timer = ms > 0 ? setInterval(() => commit(each), ms) : null;
    return living().version[living().name];
  },
  /** Commits as fast as it goes for so long, in jobs of some milliseconds. Returns how many. */
  async saturate(ms: number) {
    const end = performance.now() + ms;
    let commits = 0;
    while (performance.now() < end) {
      const until = performance.now() + 5;
      while (performance.now() < until) {
        commit();
        commits++;
      }
      await Bun.sleep(1);
    }
    return commits;
  },
  shaOf: (version: number) => hashes.get(version) ?? null,
  digest: () => digest(living()),
  date: () => Date.now(),
  stats: () => living().stats(),
  tally: () => tally,
  /** Bytes in memory, after a collection; descriptors; processor time, ms. */
  usage() {
    Bun.gc(true);
    const pages = Number(readFileSync("/proc/self/statm", "utf8").split(" ")[1]);
    const { user, system } = process.cpuUsage();
    return {
      rss: pages * 4096,
      heap: heapStats().heapSize,
      descriptors: readdirSync("/proc/self/fd").length,
      cpuMs: (user + system) / 1000,
    };
  },
  /** Takes all descriptors that there are. */
  hoard() {
    for (;;)
      try {
        hoarded.push(openSync("/dev/null", "r"));
      } catch {
        return hoarded.length;
      }
  },
  letGo() {
    for (const fd of hoarded.splice(0)) closeSync(fd);
  },
  /** Does nothing else for so long. */
  block(ms: number) {
    const end = performance.now() + ms;
    while (performance.now() < end);
  },
  async close(options: { retryAfterMs?: number } = {}) {
    if (timer) clearInterval(timer);
    timer = null;
    await node?.close(options);
    node = null;
  },
});
process.exit(0);
