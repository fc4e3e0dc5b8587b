// One of several processes that open, use and close the same few names, or clean up after each other, as fast as they can.
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { clean, MemblastError } from "../../../src/index.ts";
import { Segment } from "../../../src/memory/segment.ts";

const [role, directory, seedText, ms] = process.argv.slice(2) as ["user" | "cleaner", string, string, string];
const names = ["a", "b", "c", "d"];
const spec = { schemaText: '{"race":true}', imageBytes: 4096, metaOffset: 0 };
/** What may happen to somebody who comes too late or too early; anything else is a failure. */
const ordinary = new Set(["EXISTS", "NOT_FOUND", "LOCKED"]);
const incarnationOffset = 40;

let state = Number(seedText) >>> 0 || 1;
function roll(sides: number): number {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  return Math.floor((state / 2 ** 32) * sides);
}

/** The name still stands for what this process has open. */
function isThere(path: string, segment: Segment): boolean {
  if (!statSync(path, { throwIfNoEntry: false })) return false;
  if (!statSync(`${path}.lock`, { throwIfNoEntry: false })) return false;
  try {
    const incarnation = readFileSync(path).subarray(incarnationOffset, incarnationOffset + 16);
    return incarnation.toString("hex") === segment.incarnation;
  } catch {
    return false;
  }
}

function open(path: string): Segment | null {
  try {
    if (roll(2)) return Segment.attach(path, { mode: roll(2) ? "rw" : "r" });
    return Segment.create(path, spec, { persist: roll(4) > 0, ifExists: roll(2) ? "attach" : "fail" });
  } catch (error) {
    if (error instanceof MemblastError && ordinary.has(error.code)) return null;
    throw error;
  }
}

const result = { opened: 0, refused: 0, removed: 0, wrong: 0, failures: [] as string[] };

function use(): void {
  const path = join(directory, names[roll(names.length)]!);
  const segment = open(path);
  if (!segment) {
    result.refused++;
    return;
  }
  result.opened++;
  if (!isThere(path, segment)) result.wrong++;
  if (segment.isWriter) {
    segment.begin();
    new Uint8Array(segment.buffer("working", 0, 8))[0]! ^= 1;
    segment.touch(0, 8);
    segment.commit();
    segment.ring();
  }
  if (roll(4) === 0) Bun.sleepSync(0.1);
  if (!isThere(path, segment)) result.wrong++;
  segment.close();
}

console.log("ready");
for await (const line of console) if (line === "go") break;
for (const end = performance.now() + Number(ms); performance.now() < end;)
  try {
    if (role === "user") use();
    else result.removed += clean({ directory, persistent: true }).length;
  } catch (error) {
    if (result.failures.length < 5) result.failures.push(String(error));
  }
console.log(JSON.stringify(result));
process.exit(0);
