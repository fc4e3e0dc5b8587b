// Creates a segment and holds it until told, or killed. Further words: persist, many, exit.
import { Segment } from "../../../src/memory/segment.ts";

const [path, ...options] = process.argv.slice(2) as [string, ...string[]];
using _segment = Segment.create(
  path,
  { schemaText: "{}", imageBytes: 4096, metaOffset: 0 },
  { persist: options.includes("persist"), writers: options.includes("many") ? "many" : "one" },
);
console.log("ready");
for await (const _ of console) break;
if (options.includes("exit")) process.exit(0); // without closing anything
