import { hexOf, paddingOf, Reader } from "./cursor.ts";
import { hashBytes, metaBytesMax } from "./limits.ts";

/** Bits of the flags word of a DELTA payload. Only `last` may stand in a part that is not the first. */
export const deltaFlags = { first: 1, last: 2, full: 4, meta: 8, root: 16, repair: 32 } as const;

const knownFlags = 63;
const laterFlags = deltaFlags.last;

/** What the first part of a delta says about the whole. */
export interface DeltaHead {
  /** 32 lower-case hex characters. */
  readonly incarnation: string;
  /** The version the delta starts from (0 if `full`) and the one it leads to. */
  readonly from: number;
  readonly to: number;
  /** Data bytes of all parts together. */
  readonly totalBytes: number;
  /** Every subscribed byte is in it, whatever the follower has. */
  readonly full: boolean;
  /** The answer to HASHES. */
  readonly repair: boolean;
  /** UTF-8 JSON of the metadata at `to`; empty = none is set; undefined = as it was. */
  readonly meta: Uint8Array | undefined;
  /** Merkle root of the subscription's bytes at `to`, 32 bytes. */
  readonly root: Uint8Array | undefined;
}

/** Runs of the source image and their bytes. */
export interface DeltaChunk {
  /** [offset, bytes] pairs in the source image, ascending, disjoint. */
  readonly runs: Float64Array;
  /** The bytes of the runs, one after the other. */
  readonly data: Uint8Array;
}

/** One DELTA frame. */
export interface DeltaPart extends DeltaChunk {
  readonly type: "DELTA";
  readonly subscription: number;
  readonly last: boolean;
  /** Undefined in a part that is not the first. */
  readonly head: DeltaHead | undefined;
  readonly payloadBytes: number;
}

/** Payload bytes before the runs: without a head, and with one that has this much metadata. */
export const partFixedBytes = 16;
export function headBytesOf(meta: Uint8Array | undefined, root: Uint8Array | undefined): number {
  const metaBytes = meta?.byteLength ?? 0;
  return 40 + (root === undefined ? 0 : hashBytes) + metaBytes + paddingOf(metaBytes);
}

/**
 * Takes a DELTA payload apart. Checked here is all that one frame can tell: sizes add up, runs ascend, numbers are safe.
 * The views share the payload's memory.
 */
export function decodeDeltaPart(payload: Uint8Array): DeltaPart {
  const reader = new Reader(payload, "DELTA");
  const subscription = reader.u32();
  const flags = reader.u32();
  const runCount = reader.u32();
  const metaBytes = reader.u32();
  const first = (flags & deltaFlags.first) !== 0;
  if ((flags & ~(first ? knownFlags : laterFlags)) !== 0) reader.refuse(`flags ${flags} are not known here`);
  if (metaBytes > 0 && (flags & deltaFlags.meta) === 0) reader.refuse("it has metadata without the flag");
  const head = first ? readHead(reader, flags, metaBytes) : undefined;
  if (runCount * 16 > reader.bytesLeft) reader.refuse(`${runCount} runs do not fit`);
  const runs = readRuns(reader, runCount);
  const data = reader.take(reader.bytesLeft);
  let dataBytes = 0;
  for (let index = 1; index < runs.length; index += 2) dataBytes += runs[index]!;
  if (dataBytes !== data.byteLength)
    reader.refuse(`runs of ${dataBytes} bytes, ${data.byteLength} bytes of data`);
  const last = (flags & deltaFlags.last) !== 0;
  return { type: "DELTA", subscription, last, head, runs, data, payloadBytes: payload.byteLength };
}

function readHead(reader: Reader, flags: number, metaBytes: number): DeltaHead {
  const incarnation = hexOf(reader.take(16));
  const from = reader.u64();
  const to = reader.u64();
  const totalBytes = reader.u64();
  const root = (flags & deltaFlags.root) !== 0 ? reader.take(hashBytes) : undefined;
  if (metaBytes > metaBytesMax)
    reader.refuse(`${metaBytes} bytes of metadata, at most ${metaBytesMax} are legal`);
  const meta = (flags & deltaFlags.meta) !== 0 ? reader.take(metaBytes) : undefined;
  reader.zeros(paddingOf(metaBytes));
  const full = (flags & deltaFlags.full) !== 0;
  const repair = (flags & deltaFlags.repair) !== 0;
  if (full && (from !== 0 || repair)) reader.refuse("a full delta starts from 0 and repairs nothing");
  if (!full && (repair ? to < from : to <= from)) reader.refuse(`it leads from version ${from} to ${to}`);
  return { incarnation, from, to, totalBytes, full, repair, meta, root };
}

function readRuns(reader: Reader, count: number): Float64Array {
  const runs = reader.u64s(count * 2);
  let end = 0;
  for (let index = 0; index < runs.length; index += 2) {
    const offset = runs[index]!;
    const bytes = runs[index + 1]!;
    if (bytes === 0) reader.refuse("a run is empty");
    if (offset < end) reader.refuse(`the run at ${offset} starts before ${end}, where the last one ends`);
    end = offset + bytes;
  }
  if (!Number.isSafeInteger(end)) reader.refuse(`a run ends at ${end}, beyond 2^53`);
  return runs;
}
