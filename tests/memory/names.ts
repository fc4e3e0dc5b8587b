import { readdirSync } from "node:fs";
import { segmentDirectory } from "../../src/memory/place.ts";

let counter = 0;

/** A segment name that no other test, and no other run of the same test, uses. */
export function uniqueName(stem: string): string {
  return `test-${stem}-${process.pid}-${counter++}`;
}

/** Files in the segment folder that belong to `name`. */
export function filesOf(name: string): string[] {
  return readdirSync(segmentDirectory()).filter((file) => file.startsWith(name));
}
