// Attaches by name, prints one cell, and prints it again when it has the value waited for.
import { Segment } from "../../../src/memory/segment.ts";
import { Doorbell } from "../../../src/memory/notify.ts";

const [name, index, wanted] = process.argv.slice(2) as [string, string, string];
using segment = Segment.attach(name);
const copy = new Float64Array(segment.imageBytes / 8);

function look(): number {
  const version = segment.snapshot(new Uint8Array(copy.buffer));
  console.log(`version ${version}: ${copy[Number(index)]}`);
  return copy[Number(index)]!;
}

const done = Promise.withResolvers<void>();
using _bell = await Doorbell.open(segment, () => {
  if (look() === Number(wanted)) done.resolve();
});
look();
await done.promise;
