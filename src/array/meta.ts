import { fail } from "../errors.ts";

/*
 * The metadata record, part of the image and so committed with the data:
 *
 *     0      u32 LE   bytes of the JSON text; 0 = no metadata
 *     4      u32      0
 *     8      UTF-8    JSON text
 *     ...             zeros up to metaBytesMax, which counts from 0
 */

/** Bytes of the record before its text. */
export const metaHeadBytes = 8;
/** Longest text, bytes: what goes with one delta. */
export const metaTextBytesMax = 65_536;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The whole record of `metaBytesMax` bytes that holds `value`; undefined is "no metadata". Throws INVALID_META. */
export function encodeMeta(value: unknown, metaBytesMax: number): Uint8Array<ArrayBuffer> {
  const record = new Uint8Array(metaBytesMax);
  writeMeta(record, value);
  return record;
}

/**
 * Puts `value` into the record in place and returns how many bytes from its start were written, which are the ones to
 * mark as touched: the new text, and zeros over what a longer old one leaves. A record costs what its text does, not
 * what it has room for. Throws INVALID_META, with nothing written, for what JSON cannot say and for what is too long.
 */
export function writeMeta(record: Uint8Array, value: unknown): number {
  return writeMetaText(record, value === undefined ? new Uint8Array(0) : textOf(value, record.length));
}

/** The same for JSON text that already is UTF-8, as it comes from the wire; the text is checked (FORMAT). */
export function writeMetaJson(record: Uint8Array, text: Uint8Array): number {
  parseMeta(text);
  if (text.length > record.length - metaHeadBytes) refuseLength(text.length, record.length);
  return writeMetaText(record, text);
}

/** What the record holds, undefined if nothing. The record may come from anywhere: FORMAT for a wrong length or text. */
export function decodeMeta(record: Uint8Array): unknown {
  return parseMeta(metaJson(record));
}

/** The record's JSON text, a view; empty if there is no metadata. FORMAT for a wrong length. */
export function metaJson(record: Uint8Array): Uint8Array {
  if (record.length < metaHeadBytes)
    fail("FORMAT", `a metadata record of ${record.length} bytes has no head`);
  const bytes = lengthOf(record);
  const rest = new DataView(record.buffer, record.byteOffset).getUint32(4, true);
  if (rest !== 0 || bytes > record.length - metaHeadBytes) {
    fail("FORMAT", `metadata of ${bytes} bytes is said to be in a record of ${record.length}`);
  }
  return record.subarray(metaHeadBytes, metaHeadBytes + bytes);
}

/** The value of JSON text as {@link metaJson} gives it; undefined for an empty one. FORMAT if it is not JSON in UTF-8. */
export function parseMeta(text: Uint8Array): unknown {
  if (text.length === 0) return undefined;
  try {
    return JSON.parse(decoder.decode(text));
  } catch (error) {
    return fail("FORMAT", "the metadata is not JSON in UTF-8", {}, error);
  }
}

/** Of all others JSON makes an empty object, an object of numbered bytes, `null` or nothing. */
const spoken: ReadonlySet<string> = new Set(["Object", "Array", "String", "Number", "Boolean", "Null"]);

/** What a value is, where JSON would say something else in its place; null: it can say it. Not what is inside of it. */
function unspeakable(value: unknown): string | null {
  if (typeof value === "number" && !Number.isFinite(value)) return String(value);
  const kind = Object.prototype.toString.call(value).slice("[object ".length, -1);
  const saysItself = typeof (value as { toJSON?: unknown } | null)?.toJSON === "function";
  return saysItself || spoken.has(kind) ? null : `a ${kind}`;
}

function textOf(value: unknown, recordBytes: number): Uint8Array {
  const kind = unspeakable(value);
  if (kind) fail("INVALID_META", `metadata must be JSON, which cannot say ${kind}; undefined takes it away`);
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch (error) {
    fail("INVALID_META", `metadata must be JSON: ${(error as Error).message}`, {}, error);
  }
  if (text === undefined) fail("INVALID_META", `metadata must be JSON, which a ${typeof value} is not`);
  const bytes = encoder.encode(text);
  if (bytes.length > recordBytes - metaHeadBytes) refuseLength(bytes.length, recordBytes);
  return bytes;
}

function writeMetaText(record: Uint8Array, text: Uint8Array): number {
  const head = new DataView(record.buffer, record.byteOffset);
  const end = metaHeadBytes + text.length;
  const oldEnd = Math.min(metaHeadBytes + lengthOf(record), record.length);
  head.setUint32(0, text.length, true);
  head.setUint32(4, 0, true);
  record.set(text, metaHeadBytes);
  if (oldEnd <= end) return end;
  record.fill(0, end, oldEnd);
  return oldEnd;
}

function lengthOf(record: Uint8Array): number {
  return new DataView(record.buffer, record.byteOffset).getUint32(0, true);
}

function refuseLength(bytes: number, recordBytes: number): never {
  const room = Math.max(0, recordBytes - metaHeadBytes);
  const advice =
    bytes > metaTextBytesMax
      ? `there can never be more than ${metaTextBytesMax}: keep what is so large in an array`
      : `raise the option metaBytesMax to ${bytes + metaHeadBytes}`;
  const text = `metadata of ${bytes} bytes, room for ${room}; ${advice}`;
  fail("INVALID_META", text, { bytes, metaBytesMax: recordBytes });
}
