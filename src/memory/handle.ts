import { randomFillSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { fail } from "../errors.ts";
import { check } from "./failure.ts";
import { bufferAt, cString, library } from "./library.ts";
import type { Place } from "./place.ts";

/** What a new segment holds, in bytes; what they mean is the schema's matter. */
export interface SegmentSpec {
  /** Kept verbatim in the header. */
  readonly schemaText: string;
  readonly imageBytes: number;
  readonly metaOffset: number;
}

/** Who may write: one process for as long as it lives, or each of many for one write at a time. */
export type Writers = "one" | "many";

/** Facts of a mapped segment by the number that C knows them by. */
export const field = {
  working: 0,
  committed: 1,
  imageBytes: 2,
  metaOffset: 3,
  schema: 4,
  schemaBytes: 5,
  blockShift: 6,
  blockCount: 7,
  touched: 8,
  touchedWords: 9,
  summary: 10,
  summaryWords: 11,
  incarnation: 12,
  rollbacks: 13,
  recoveries: 14,
  ownerPid: 15,
  heldNs: 16,
  features: 17,
  bootId: 18,
  hit: 19,
  fileBytes: 20,
} as const;

const persistFeature = 1;
const manyWritersFeature = 2 ** 32;

export function featuresOf(options: { persist?: boolean; writers?: Writers | undefined }): number {
  return (options.persist ? persistFeature : 0) + (options.writers === "many" ? manyWritersFeature : 0);
}

export function isPersistent(handle: number): boolean {
  return library.segmentField(handle, field.features) % 2 === persistFeature;
}

export function writersOf(handle: number): Writers {
  return library.segmentField(handle, field.features) >= manyWritersFeature ? "many" : "one";
}

/** The 16 bytes by which Linux names this boot; zeros where it does not say. */
function bootId(): Uint8Array {
  try {
    const text = readFileSync("/proc/sys/kernel/random/boot_id", "utf8");
    return new Uint8Array(Buffer.from(text.replaceAll("-", "").trim(), "hex"));
  } catch {
    return new Uint8Array(16);
  }
}

/** Bytes that the whole segment takes. */
export function segmentBytes(spec: SegmentSpec): number {
  return library.segmentBytes(spec.imageBytes, Buffer.byteLength(spec.schemaText));
}

/** A new segment of zeros; without a place, private memory. EXISTS, NO_SPACE, TOO_LARGE. */
export function createHandle(place: Place | null, spec: SegmentSpec, features: number): number {
  const out = new BigInt64Array(1);
  const schema = Buffer.from(spec.schemaText);
  const identity = randomFillSync(new Uint8Array(32));
  identity.set(bootId(), 16);
  check(
    library.segmentCreate(
      place && cString(place.directory),
      place && cString(place.data),
      schema,
      schema.byteLength,
      spec.imageBytes,
      spec.metaOffset,
      identity,
      features,
      out,
    ),
    `create ${place?.name ?? "the segment"}`,
  );
  return Number(out[0]);
}

/** Maps an existing file after every check. NOT_FOUND, UNSAFE_FILE, FORMAT, TRUNCATED. */
export function attachHandle(place: Place, writable: boolean): number {
  const handle = mapHandle(place, writable);
  try {
    checkBoot(place, handle);
    return handle;
  } catch (error) {
    library.segmentClose(handle);
    throw error;
  }
}

/** The same for somebody who wants to know what it is, not what it holds. */
export function mapHandle(place: Place, writable: boolean): number {
  const out = new BigInt64Array(1);
  check(library.segmentAttach(cString(place.data), writable ? 1 : 0, out), `attach ${place.name}`);
  return Number(out[0]);
}

export function checkBoot(place: Place, handle: number): void {
  const boot = new Uint8Array(bufferAt(library.segmentField(handle, field.bootId), 16).slice(0));
  if (Buffer.from(boot).equals(bootId())) return;
  fail(
    "FORMAT",
    `Cannot attach ${place.name}: it was last mapped before this machine's restart, and nobody knows which of its pages ` +
      `reached the disk; remove ${place.data} and restore it from a source you trust`,
    { name: place.name },
  );
}

/** Who writes, by its own note: for messages, never for decisions. */
export function holderOf(handle: number): { pid: number; heldMs: number } {
  return {
    pid: library.segmentField(handle, field.ownerPid),
    heldMs: Math.round(library.segmentField(handle, field.heldNs) / 1e6),
  };
}

export function holderText({ pid, heldMs }: { pid: number; heldMs: number }): string {
  const who = pid === process.pid ? `this process (${pid})` : `process ${pid}`;
  return `${who}, for ${heldMs < 1000 ? `${heldMs} ms` : `${(heldMs / 1000).toFixed(1)} s`} by its own note`;
}
