// A rollback and two commits with the library that dies at the N-th crash point.
import { dlopen } from "bun:ffi";
import { Segment } from "../../../src/memory/segment.ts";

const [path, at] = process.argv.slice(2) as [string, string];
const library = dlopen(process.env["MEMBLAST_LIBRARY"]!, { mb_crash_set: { args: ["u64"], returns: "i64" } });
const segment = Segment.attach(path, { mode: "rw" });
const image = new Uint8Array(segment.buffer("working", 0, segment.imageBytes));
const next = image[0]! + 1;

function fill(value: number): void {
  segment.begin();
  image.fill(value);
  segment.touch(0, image.length);
}

library.symbols.mb_crash_set(Number(at));
fill(255);
segment.rollback();
fill(next);
segment.commit();
fill(next + 1);
segment.commit();
process.exit(0);
