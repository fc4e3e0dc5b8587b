// Tries to create a segment of so many bytes, and prints the error.
import { MemblastError } from "../../../src/errors.ts";
import { Segment } from "../../../src/memory/segment.ts";

const [name, bytes] = process.argv.slice(2) as [string, string];
try {
  Segment.create(name, { schemaText: "{}", imageBytes: Number(bytes), metaOffset: 0 }).close();
  console.log("created");
} catch (error) {
  if (!(error instanceof MemblastError)) throw error;
  const { code, message, details } = error;
  console.log(JSON.stringify({ code, message, details }));
}
