// What commits take that wait for a follower of every one, and what is counted for them.
import { heapStats } from "bun:jsc";
import { start } from "../../../src/index.ts";
import { RawFollower } from "../raw.ts";
import { until } from "../until.ts";

const [cells, metaBytes, count] = process.argv.slice(2).map(Number) as [number, number, number];
const size = 2 ** 17;
await using server = await start("s", { listen: 0, shape: [size], queueBytesMax: 2 ** 40 });
using raw = await (await RawFollower.connect(server.addresses[0]!)).join("every");
raw.subscribe(1, { regions: [{ array: null, start: [0], shape: [size] }], mode: "every", maxRate: 1e-3 });
await until(() => raw.allDataBytes > 0, "the first state");

const step = cells > 1000 ? 1 : 1000; // many together, a few apart
let commits = 0;
async function commit(more: number): Promise<void> {
  for (let i = 0; i < more; i++) {
    server.write((a, tx) => {
      commits++;
      for (let k = 0; k < cells; k++) a.set((k * step) % size, commits + k);
      if (metaBytes) tx.meta = { text: "x".repeat(metaBytes), commits };
    });
    if (i % 100 === 0) await Bun.sleep(0);
  }
  await Bun.sleep(10);
}

function look(): { counted: number; taken: number } {
  Bun.gc(true);
  return { counted: server.stats().links[0]!.waitingBytes!, taken: heapStats().heapSize };
}

await commit(count / 10);
const before = look();
await commit(count);
const { counted, taken } = look();
console.log(JSON.stringify({ counted: counted - before.counted, taken: taken - before.taken }));
