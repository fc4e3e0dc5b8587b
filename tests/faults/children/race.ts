// Opens or creates a segment when told to, and says which it was: one of several that are told so at the same time.
import { MemblastError } from "../../../src/errors.ts";
import { Segment } from "../../../src/memory/segment.ts";
import { Census } from "./census.ts";

const spec = { schemaText: '{"race":true}', imageBytes: 8192, metaOffset: 0 };
const retriesMax = 10_000;
let segment: Segment | null = null;

function attach(name: string): Segment | null {
  try {
    return Segment.attach(name);
  } catch (error) {
    if (error instanceof MemblastError && error.code === "NOT_FOUND") return null;
    throw error;
  }
}

function create(name: string): Segment | null {
  try {
    return Segment.create(name, spec);
  } catch (error) {
    if (error instanceof MemblastError && error.code === "EXISTS") return null;
    throw error;
  }
}

function open(name: string): string {
  for (let i = 0; i < retriesMax; i++) {
    segment = create(name);
    if (segment) return "created";
    segment = attach(name);
    if (!segment) continue; // somebody else has the lock, and no file yet
    const copy = new Uint8Array(spec.imageBytes);
    const version = segment.snapshot(copy);
    const isNew = version === 0 && copy.every((byte) => byte === 0) && segment.schemaText === spec.schemaText;
    return isNew ? "attached" : `a new segment has version ${version}`;
  }
  return "neither created nor attached";
}

function answer(line: string): string {
  if (line === "close") {
    segment?.close();
    segment = null;
    return "closed";
  }
  return open(line.replace("open ", ""));
}

const census = new Census();
let rounds = 0;
for await (const line of console) {
  if (!line) break; // the end of the input
  let said: string;
  try {
    said = answer(line);
  } catch (error) {
    said = String(error);
  }
  if (line === "close" && ++rounds === 20) census.mark();
  console.log(said);
}
const grown = census.grown();
if (grown) throw new Error(grown);
