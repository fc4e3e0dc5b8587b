// Attaches, and leaves when told.
import { Segment } from "../../../src/memory/segment.ts";

using _segment = Segment.attach(process.argv[2]!);
console.log("ready");
for await (const _ of console) break;
