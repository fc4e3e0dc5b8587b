// Commits without a pause: a cell somewhere, and in cell 0 the sum of all others.
import { Segment } from "../../../src/memory/segment.ts";

const imageBytes = 64 * 1024;
const segment = Segment.create(process.argv[2]!, { schemaText: "{}", imageBytes, metaOffset: 0 });
const working = new Float64Array(segment.buffer("working", 0, imageBytes));
const parent = process.ppid;
console.log("ready");
for (let version = 1, sum = 0; ; version++) {
  const at = 1 + ((version * 7919) % (working.length - 1));
  segment.begin();
  sum += version - working[at]!;
  working[at] = version;
  working[0] = sum;
  segment.touch(at * 8, 8);
  segment.touch(0, 8);
  segment.commit();
  if (version % 1e5 === 0 && process.ppid !== parent) process.exit(); // the test was killed
}
