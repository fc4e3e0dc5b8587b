// A process with one node of a mesh, which writes anywhere, all the time.
import { start, type Node } from "../../../src/index.ts";
import { Random } from "../../transport/random.ts";
import { tallyUp } from "../tally.ts";
import { serve } from "./serve.ts";

let node: Node | null = null;
let random = new Random(1);
let timer: ReturnType<typeof setInterval> | null = null;
let writes = 0;
const tally: Record<string, number> = {};

function count(what: string): void {
  tallyUp(tally, what);
}

function write(): void {
  node!.write((cells, tx) => {
    for (let i = random.between(0, 3); i >= 0; i--)
      cells.set(random.between(0, cells.size - 1), random.between(0, 99));
    if (random.between(0, 3) === 0) tx.meta = { by: node!.name, write: writes };
  });
  writes++;
}

await serve({
  async open(name: string, seed: number, options: Record<string, unknown>) {
    random = new Random(seed);
    node = await start(name, { mesh: true, listen: 0, shape: [64], ...options });
    node.on("error", ({ message }) => count(message.replace(/^Link from .*?: closed/, "end: closed")));
    node.on("disconnect", ({ reason }) => {
      if (!reason.startsWith("closed by")) count(`end: ${reason}`);
    });
    return node.addresses[0];
  },
  /** Writes once every so many milliseconds; 0: no more. */
  tick(ms: number) {
    if (timer) clearInterval(timer);
    timer = ms > 0 ? setInterval(write, ms) : null;
    return writes;
  },
  ready: () => node!.ready,
  /** SHA-256 of all values, all stamps and the metadata. */
  state() {
    const hash = new Bun.CryptoHasher("sha256");
    for (const { name } of node!.schema.arrays) {
      const { buffer, byteOffset, byteLength } = node!.ndarray(name).data;
      hash.update(new Uint8Array(buffer, byteOffset, byteLength));
    }
    return hash.update(JSON.stringify(node!.meta ?? null)).digest("hex");
  },
  tally: () => tally,
});
process.exit(0);
