// Adds one to a cell of all and to its own, in as many transactions as it can, from a line on stdin on until the time is up.
import { Segment } from "../../../src/memory/segment.ts";

const [name, own, ms] = process.argv.slice(2) as [string, string, string];
using segment = Segment.attach(name, { mode: "rw", lockTimeoutMs: 20_000 });
const cells = new Float64Array(segment.buffer("working", 0, segment.imageBytes));
console.log("ready");
for await (const _ of console) break;
let turns = 0;
for (const end = performance.now() + Number(ms); performance.now() < end; turns++) {
  segment.begin();
  for (const at of [0, Number(own)]) {
    cells[at]!++;
    segment.touch(at * 8, 8);
  }
  segment.commit();
}
console.log(turns);
