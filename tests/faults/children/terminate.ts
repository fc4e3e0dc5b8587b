// Starts Workers that own a segment and write to it, terminates them at any time, and waits until the lock is free.
import { readFileSync } from "node:fs";
import { MemblastError } from "../../../src/errors.ts";
import { Segment } from "../../../src/memory/segment.ts";
import { Census } from "./census.ts";

const [path, wanted, seconds] = process.argv.slice(2) as [string, string, string];
const deadline = performance.now() + Number(seconds) * 1000;
const patienceMs = 5000;

function isFree(): boolean {
  try {
    Segment.attach(path, { mode: "rw" }).close();
    return true;
  } catch (error) {
    if (error instanceof MemblastError && error.code === "LOCKED") return false;
    throw error;
  }
}

/** Milliseconds from the end of a Worker that writes to a free lock; null if it stays locked. */
async function round(): Promise<number | null> {
  const worker = new Worker(new URL("write_worker.ts", import.meta.url).href);
  await new Promise((resolve, reject) => {
    worker.onmessage = resolve;
    worker.onerror = (event) => reject(new Error(event.message));
    worker.postMessage(path);
  });
  if (isFree()) throw new Error("the Worker does not hold the lock");
  const start = performance.now();
  worker.terminate();
  while (!isFree()) {
    if (performance.now() - start > patienceMs) return null;
    await Bun.sleep(0.2);
  }
  return performance.now() - start;
}

const census = new Census();
const ms: number[] = [];
let rounds = 0;
let stuck = 0;
for (; rounds < Number(wanted) && (rounds === 0 || performance.now() < deadline) && stuck === 0; rounds++) {
  const waited = await round();
  if (waited === null) stuck++;
  else ms.push(waited);
  if (rounds === 9) census.mark();
}
await Bun.sleep(50);
const left = readFileSync("/proc/self/maps", "utf8").split(path).length - 1;
console.log(JSON.stringify({ rounds, stuck, ms, grown: census.grown(), left }));
process.exit(0);
