// Creates segments larger and larger until one does not fit, and then uses those that did. Prints what came of it as JSON.
import { readdirSync, statfsSync } from "node:fs";
import { MemblastError } from "../../../src/errors.ts";
import { Segment } from "../../../src/memory/segment.ts";

const [folder, ...sizes] = process.argv.slice(2) as [string, ...string[]];
const files = () =>
  readdirSync(folder)
    .filter((file) => !file.startsWith("ballast"))
    .sort()
    .join(" ");
const descriptors = () => readdirSync("/proc/self/fd").length;

const failures: { code: string; message: string; left: string; leaked: number }[] = [];
const segments: Segment[] = [];
readdirSync("/proc/self/fd"); // what reading folders opens for good is open now
for (const [i, size] of sizes.entries()) {
  const before = files();
  const open = descriptors();
  try {
    segments.push(
      Segment.create(`${folder}/s${i}`, { schemaText: "{}", imageBytes: Number(size), metaOffset: 0 }),
    );
  } catch (error) {
    const code = error instanceof MemblastError ? error.code : "unnamed";
    const left = files() === before ? "" : files();
    failures.push({ code, message: String(error), left, leaked: descriptors() - open });
  }
}
let whole = 0;
for (const [i, segment] of segments.entries()) {
  const image = new Uint8Array(segment.buffer("working", 0, segment.imageBytes));
  segment.begin();
  image.fill(i + 1);
  segment.touch(0, image.length);
  segment.commit();
  const copy = new Uint8Array(segment.imageBytes);
  segment.snapshot(copy);
  if (copy.every((byte) => byte === i + 1)) whole++;
}
const free = statfsSync(folder).bavail;
for (const segment of segments) segment.close();
console.log(JSON.stringify({ created: segments.length, whole, failures, left: files(), free }));
