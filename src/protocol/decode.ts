import { Reader } from "./cursor.ts";
import { decodeDeltaPart } from "./part.ts";
import { refuse } from "./fault.ts";
import { decodeJson, isJsonType } from "./handshake.ts";
import { hashBytes, leafBytes, noticePayloadBytesMax } from "./limits.ts";
import {
  criticalFlag,
  type Frame,
  type FrameType,
  frameTypes,
  type HashesMessage,
  type RateMessage,
  type Received,
} from "./messages.ts";

const typeNames = new Map<number, FrameType>(
  Object.entries(frameTypes).map(([name, number]) => [number, name as FrameType]),
);
const notices: ReadonlySet<FrameType> = new Set(["SUBSCRIBED", "ERROR", "BYE"]);

/** A moment of a link, and the types of frames that make sense then. */
export interface Moment<Type extends FrameType> {
  /** As in "HELLO has no place on an open link". */
  readonly place: string;
  readonly types: ReadonlySet<Type>;
}

/** Last words may come at any moment. */
export function moment<Type extends FrameType = never>(
  place: string,
  ...types: readonly Type[]
): Moment<Type | "ERROR" | "BYE"> {
  return { place, types: new Set([...types, "ERROR", "BYE"]) };
}

/**
 * What a frame says, checked as far as one frame can be. Null: a type this side does not know and may skip.
 * Throws a ProtocolFault: UNKNOWN_FRAME; UNEXPECTED where its type makes no sense `at` this moment, before its payload is looked at;
 * BAD_MESSAGE, TOO_LONG, VERSION. Views share the payload's memory.
 */
export function decodeFrame<Type extends FrameType = FrameType>(
  frame: Frame,
  at: Moment<Type> | null = null,
): Extract<Received, { type: Type }> | null {
  const type = typeNames.get(frame.type);
  if (type === undefined) {
    if ((frame.flags & criticalFlag) === 0) return null;
    return refuse("UNKNOWN_FRAME", `Frame type ${frame.type} is not known here and may not be skipped.`);
  }
  if (at !== null && !(at.types as ReadonlySet<FrameType>).has(type))
    refuse("UNEXPECTED", `${type} has no place ${at.place}.`);
  return decodePayload(type, frame.payload) as Extract<Received, { type: Type }>;
}

function decodePayload(type: FrameType, payload: Uint8Array): Received {
  if (notices.has(type) && payload.byteLength > noticePayloadBytesMax) {
    refuse(
      "TOO_LONG",
      `${type} has ${payload.byteLength} bytes, at most ${noticePayloadBytesMax} are legal.`,
    );
  }
  if (isJsonType(type)) return decodeJson(type, payload);
  const reader = new Reader(payload, type);
  switch (type) {
    case "DELTA":
      return decodeDeltaPart(payload);
    case "HASHES":
      return decodeHashes(reader);
    case "RATE":
      return decodeRate(reader);
    case "UNSUBSCRIBE": {
      const id = reader.u32();
      reader.end();
      return { type, id };
    }
    case "PING":
    case "PONG": {
      const opaque = reader.take(8);
      reader.end();
      return { type, opaque };
    }
  }
}

function decodeRate(reader: Reader): RateMessage {
  const id = reader.u32();
  reader.zeros(4);
  const perSecond = reader.f64();
  reader.end();
  if (!(perSecond >= 0 && perSecond <= 1e6)) reader.refuse(`${perSecond} is not a rate`);
  return { type: "RATE", id, perSecond: perSecond === 0 ? null : perSecond };
}

function decodeHashes(reader: Reader): HashesMessage {
  const subscription = reader.u32();
  const flags = reader.u32();
  const unit = reader.u32();
  const leafCount = reader.u32();
  const version = reader.u64();
  const firstLeaf = reader.u64();
  if ((flags & ~3) !== 0) reader.refuse(`flags ${flags} are not known here`);
  if (unit !== leafBytes) reader.refuse(`leaves of ${unit} bytes, this protocol has ${leafBytes}`);
  if (leafCount * hashBytes !== reader.bytesLeft) reader.refuse(`${leafCount} hashes do not fit its length`);
  const hashes = reader.take(reader.bytesLeft);
  const first = (flags & 1) !== 0;
  return { type: "HASHES", subscription, first, last: (flags & 2) !== 0, version, firstLeaf, hashes };
}
