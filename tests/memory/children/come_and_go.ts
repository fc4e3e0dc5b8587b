// Starts or joins a segment, writes, looks whether it is still the one that has the name, and leaves, now and then by being killed:
// that is, without closing anything. Prints what should not have happened.
import { Segment } from "../../../src/memory/segment.ts";

const [path, own, rounds] = process.argv.slice(2) as [string, string, string];
const spec = { schemaText: "{}", imageBytes: 4096, metaOffset: 0 };
console.log("ready");
for await (const _ of console) break;
const wrong: string[] = [];
for (let round = 0; round < Number(rounds); round++) {
  const segment = Segment.create(path, spec, { writers: "many", ifExists: "attach" });
  const cells = new Float64Array(segment.buffer("working", 0, 4096));
  segment.begin();
  cells[Number(own)] = round + 1;
  segment.touch(8 * Number(own), 8);
  segment.commit();
  await Bun.sleep(Math.random());
  try {
    segment.checkFile();
    using other = Segment.attach(path);
    if (other.incarnation !== segment.incarnation) wrong.push(`round ${round}: another segment has the name`);
  } catch (error) {
    wrong.push(`round ${round}: ${error}`);
  }
  segment.close();
}
console.log(JSON.stringify(wrong));
