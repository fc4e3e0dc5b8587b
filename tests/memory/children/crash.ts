// Joins a segment of many writers and dies at the step asked for, of: its turn, recovery if due, and one transaction over cells.
import { dlopen } from "bun:ffi";
import { Segment } from "../../../src/memory/segment.ts";

const [name, step, value, how] = process.argv.slice(2) as [string, string, string, "commit" | "rollback"];
const { symbols } = dlopen(process.env["MEMBLAST_LIBRARY"]!, {
  mb_crash_set: { args: ["u32"], returns: "i64" },
});
using segment = Segment.attach(name, { mode: "rw" });
const cells = new Float64Array(segment.buffer("working", 0, segment.imageBytes));
symbols.mb_crash_set(Number(step));
segment.begin();
for (const at of [0, 40, 41, 500]) {
  cells[at] = Number(value);
  segment.touch(at * 8, 8);
}
segment[how]();
symbols.mb_crash_set(0);
console.log("done");
