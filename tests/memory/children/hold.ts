// Waits for its turn at writing when told, says so, and keeps it until told again. Writes `value` into cell 0.
import { Segment } from "../../../src/memory/segment.ts";

const [name, value, lockTimeoutMs] = process.argv.slice(2) as [string, string, string];
using segment = Segment.attach(name, { mode: "rw", lockTimeoutMs: Number(lockTimeoutMs) });
const cells = new Float64Array(segment.buffer("working", 0, segment.imageBytes));
console.log("ready");
const orders = console[Symbol.asyncIterator]();
await orders.next();
console.log("waiting");
segment.begin();
cells[0] = Number(value);
segment.touch(0, 8);
console.log("writing");
await orders.next();
segment.commit();
console.log(`version ${segment.endedVersion}`);
