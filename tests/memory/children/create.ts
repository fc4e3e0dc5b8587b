// Tries to create NAME.0, NAME.1, ..., as fast as it can, and prints what came of each. What it made is held until the end.
import { MemblastError } from "../../../src/errors.ts";
import { Segment } from "../../../src/memory/segment.ts";

const [name, rounds] = process.argv.slice(2) as [string, string];
const spec = { schemaText: "{}", imageBytes: 4096, metaOffset: 0 };
console.log("ready");
const orders = console[Symbol.asyncIterator]();
await orders.next();
const results = Array.from({ length: Number(rounds) }, (_, round) => {
  try {
    Segment.create(`${name}.${round}`, spec);
    return "created";
  } catch (error) {
    if (!(error instanceof MemblastError)) throw error;
    // A file is there: whoever attaches finds it whole, or not yet there.
    try {
      Segment.attach(`${name}.${round}`).close();
    } catch (attached) {
      if ((attached as MemblastError).code !== "NOT_FOUND") return String(attached);
    }
    return error.code;
  }
});
console.log(JSON.stringify(results));
await orders.next();
