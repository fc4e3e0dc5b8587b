import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { clean } from "../../src/index.ts";
import { uniqueName } from "../memory/names.ts";
import { Random } from "../sim/random.ts";

setDefaultTimeout(30_000);

const seed = Number(process.env["MEMBLAST_SEED"] ?? 5);

/** One peer; started again it has its memory, where it shared it, or none. */
class Peer {
  readonly options: { name: string; share: boolean; [option: string]: unknown };
  #process: Bun.Subprocess | null = null;
  #answer = Promise.withResolvers<unknown>();

  constructor(options: Peer["options"]) {
    this.options = options;
  }

  async start(life: number): Promise<void> {
    this.#answer = Promise.withResolvers();
    const options = JSON.stringify({ ...this.options, seed: seed * 1000 + life, cells: 300 });
    this.#process = Bun.spawn([process.execPath, join(import.meta.dir, "children/mesh_peer.ts"), options], {
      ipc: (message) => this.#answer.resolve(message),
      stdio: ["ignore", "inherit", "inherit"],
    });
    await this.#answer.promise;
  }

  async kill(): Promise<void> {
    this.#process!.kill("SIGKILL");
    await this.#process!.exited;
  }

  tell(message: string): void {
    this.#process!.send(message);
  }

  async digest(): Promise<string> {
    this.#answer = Promise.withResolvers();
    this.tell("digest");
    return ((await this.#answer.promise) as { digest: string }).digest;
  }
}

test(`processes of a mesh that are killed while all write, and come back with or without their memory, end equal (seed ${seed})`, async () => {
  const folder = mkdtempSync(join(tmpdir(), "memblast-mesh-"));
  const random = new Random(seed);
  const count = 4;
  const address = (i: number) => `unix:${folder}/${i % count}.sock`;
  const peers = Array.from({ length: count }, (_, i) => {
    const servers = [address(i + 1), ...(i === 0 ? [address(2)] : [])]; // a ring with a chord
    const common = { servers, listen: address(i), checkHash: true, reconnect: { minMs: 5, maxMs: 50 } };
    const share = i % 2 === 0;
    return new Peer({ ...common, name: uniqueName(`mesh-${i}`), share, persist: share });
  });
  try {
    await Promise.all(peers.map((peer, i) => peer.start(i)));
    for (let round = 0; round < 12; round++) {
      await Bun.sleep(random.below(60));
      const peer = random.pick(peers);
      await peer.kill();
      await Bun.sleep(random.below(30));
      await peer.start(100 + round);
    }
    for (const peer of peers) peer.tell("quiet");
    const end = performance.now() + 10_000;
    let digests: string[];
    do {
      await Bun.sleep(20);
      digests = await Promise.all(peers.map((peer) => peer.digest()));
    } while (new Set(digests).size > 1 && performance.now() < end);
    expect(new Set(digests).size).toBe(1);
  } finally {
    for (const peer of peers) await peer.kill();
    rmSync(folder, { recursive: true });
    clean({ names: peers.map((peer) => peer.options.name), persistent: true });
  }
}, 60_000);
