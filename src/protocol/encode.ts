import { fail } from "../errors.ts";
import { type Crc32c, crc32cJoin, crc32cRange, crc32cShift } from "./crc32c.ts";
import { bytesOfHex, paddingOf, Writer } from "./cursor.ts";
import { type DeltaHead, deltaFlags, headBytesOf, partFixedBytes } from "./part.ts";
import { encodeJson, isJsonType, type JsonMessage } from "./handshake.ts";
import { hashBytes, headerBytes, leafBytes, payloadBytesMax } from "./limits.ts";
import { frameTypes, type FrameType, type HashesMessage, type Message } from "./messages.ts";

const padding = Uint8Array.of(0, 0, 0, 0, 0, 0, 0);

/** A control message as the byte views of one frame, header and padding included; opaque bytes and hashes are views of it. */
export function encodeMessage(crc: Crc32c, message: Message): Uint8Array[] {
  if (isJsonType(message.type)) {
    return frame(crc, message.type, [encodeJson(message as JsonMessage)]);
  }
  const binary = message as Exclude<Message, JsonMessage>;
  switch (binary.type) {
    case "UNSUBSCRIBE":
      return frame(crc, binary.type, [new Writer(4).u32(binary.id).bytes]);
    case "RATE":
      return frame(crc, binary.type, [
        new Writer(16)
          .u32(binary.id)
          .skip(4)
          .f64(binary.perSecond ?? 0).bytes,
      ]);
    case "HASHES":
      return frame(crc, binary.type, [hashesStart(binary), binary.hashes]);
    case "PING":
    case "PONG":
      return frame(crc, binary.type, [binary.opaque]);
  }
}

function hashesStart(message: HashesMessage): Uint8Array {
  const flags = (message.first ? 1 : 0) | (message.last ? 2 : 0);
  const leafCount = message.hashes.byteLength / hashBytes;
  const writer = new Writer(32).u32(message.subscription).u32(flags).u32(leafBytes).u32(leafCount);
  return writer.u64(message.version).u64(message.firstLeaf).bytes;
}

/**
 * Any payload as one frame: [header, ...payload, padding]. Throws TOO_LARGE above the limit of an open link:
 * what we send ourselves is no peer's mistake.
 */
export function frame(crc: Crc32c, type: FrameType | number, payload: readonly Uint8Array[]): Uint8Array[] {
  let checksum = 0;
  let payloadBytes = 0;
  for (const view of payload) {
    checksum = crc(view, checksum);
    payloadBytes += view.byteLength;
  }
  const number = typeof type === "number" ? type : frameTypes[type];
  const header = new Uint8Array(new ArrayBuffer(headerBytes)); // as in Writer
  writeHeader(header, number, 0, payloadBytes, checksum);
  return padded([header, ...payload], payloadBytes);
}

/** Fills the first 16 bytes. */
export function writeHeader(
  into: Uint8Array,
  type: number,
  flags: number,
  payloadBytes: number,
  checksum: number,
): void {
  if (payloadBytes > payloadBytesMax) {
    const details = { payloadBytes, payloadBytesMax };
    fail(
      "TOO_LARGE",
      `A frame of ${payloadBytes} bytes is above the protocol's ${payloadBytesMax}.`,
      details,
    );
  }
  const view = new DataView(into.buffer, into.byteOffset, headerBytes);
  view.setUint32(0, payloadBytes, true);
  view.setUint8(4, type);
  view.setUint8(5, flags);
  view.setUint32(8, checksum, true);
  view.setUint32(12, crc32cRange(into, 0, 12), true);
}

function padded(views: Uint8Array[], payloadBytes: number): Uint8Array[] {
  const short = paddingOf(payloadBytes);
  if (short > 0) views.push(padding.subarray(0, short));
  return views;
}

/** What a delta part is made of, in the order of the wire. */
export interface DeltaPartContent {
  /** Null in every part but the first. */
  readonly head: DeltaHead | null;
  readonly last: boolean;
  /** [offset, bytes] pairs in the source image. */
  readonly runs: Float64Array;
  /** The bytes of the runs, in their order; cut as you like. The views are kept and not copied. */
  readonly data: readonly Uint8Array[];
}

/** A delta part without its subscription: whoever follows the same regions can be sent the same bytes. */
export interface EncodedPart {
  readonly flags: number;
  /** The payload after its first 8 bytes. */
  readonly tail: readonly Uint8Array[];
  readonly tailBytes: number;
  readonly tailChecksum: number;
  readonly tailShift: number;
}

/** Reads all data once, for the checksum. The data must stay unchanged until the last frame made of it is sent. */
export function encodeDeltaPart(crc: Crc32c, content: DeltaPartContent): EncodedPart {
  const start = partStart(content);
  let tailChecksum = crc(start);
  let tailBytes = start.byteLength;
  for (const view of content.data) {
    tailChecksum = crc(view, tailChecksum);
    tailBytes += view.byteLength;
  }
  const tail = [start, ...content.data];
  return { flags: flagsOf(content), tail, tailBytes, tailChecksum, tailShift: crc32cShift(tailBytes) };
}

/** The frame of an encoded part for one subscription: 24 new bytes, the rest is shared; no data byte is read. */
export function deltaFrame(subscription: number, part: EncodedPart): Uint8Array[] {
  const start = new Writer(headerBytes + 8, headerBytes).u32(subscription).u32(part.flags).bytes;
  const checksum = crc32cJoin(
    crc32cRange(start, headerBytes, headerBytes + 8),
    part.tailChecksum,
    part.tailShift,
  );
  const payloadBytes = 8 + part.tailBytes;
  writeHeader(start, frameTypes.DELTA, 0, payloadBytes, checksum);
  return padded([start, ...part.tail], payloadBytes);
}

function flagsOf({ head, last }: DeltaPartContent): number {
  let flags = last ? deltaFlags.last : 0;
  if (head === null) return flags;
  flags |= deltaFlags.first;
  if (head.full) flags |= deltaFlags.full;
  if (head.repair) flags |= deltaFlags.repair;
  if (head.meta !== undefined) flags |= deltaFlags.meta;
  if (head.root !== undefined) flags |= deltaFlags.root;
  return flags;
}

/** runCount, metaBytes, the head and the runs. */
function partStart({ head, runs }: DeltaPartContent): Uint8Array {
  const metaBytes = head?.meta?.byteLength ?? 0;
  const headSize = head === null ? 0 : headBytesOf(head.meta, head.root);
  const writer = new Writer(partFixedBytes - 8 + headSize + runs.length * 8);
  writer.u32(runs.length / 2).u32(metaBytes);
  if (head !== null) {
    writer.put(bytesOfHex(head.incarnation)).u64(head.from).u64(head.to).u64(head.totalBytes);
    if (head.root !== undefined) writer.put(head.root);
    if (head.meta !== undefined) writer.put(head.meta).skip(paddingOf(metaBytes));
  }
  return writer.u64s(runs).bytes;
}
