/** The protobuf wire format, as far as ONNX files use it: a message is a list of numbered fields. Pure. */
import { fail } from "../errors.ts";

/** One field of a message. */
export interface Field {
  readonly number: number;
  /** A varint as it stands, unsigned; undefined for other fields. */
  readonly varint: bigint | undefined;
  /** What a length-delimited or fixed field holds: a view, no copy. Empty for a varint. */
  readonly bytes: Uint8Array;
  /** The whole field with its tag: a view, no copy. */
  readonly raw: Uint8Array;
}

const varint = 0;
const fixed64 = 1;
const delimited = 2;
const fixed32 = 5;

/** The fields of a message, in order. FORMAT where the bytes are no protobuf message. */
export function* fields(message: Uint8Array): Generator<Field> {
  for (let at = 0; at < message.length;) {
    const tag = readVarint(message, at);
    const number = Number(tag.value >> 3n);
    const wire = Number(tag.value & 7n);
    const { end, ...body } = readBody(message, tag.end, wire);
    yield { number, ...body, raw: message.subarray(at, end) };
    at = end;
  }
}

const none = new Uint8Array(0);

function readBody(message: Uint8Array, at: number, wire: number) {
  if (wire === varint) {
    const { value, end } = readVarint(message, at);
    return { varint: value, bytes: none, end };
  }
  let start = at;
  let length = wire === fixed64 ? 8 : 4;
  if (wire === delimited) {
    const head = readVarint(message, at);
    start = head.end;
    length = Number(head.value);
  } else if (wire !== fixed64 && wire !== fixed32)
    fail("FORMAT", `no protobuf message: wire type ${wire} at byte ${at}`);
  if (length > message.length - start) fail("FORMAT", `no protobuf message: it ends within a field`);
  return { varint: undefined, bytes: message.subarray(start, start + length), end: start + length };
}

const varintBytesMax = 10;

function readVarint(message: Uint8Array, start: number): { value: bigint; end: number } {
  let value = 0n;
  for (let i = 0; i < varintBytesMax; i++) {
    const byte = message[start + i];
    if (byte === undefined) return fail("FORMAT", "no protobuf message: it ends within a number");
    value |= BigInt(byte & 127) << BigInt(7 * i);
    if (byte < 128) return { value: BigInt.asUintN(64, value), end: start + i + 1 };
  }
  return fail("FORMAT", `no protobuf message: a number of more than ${varintBytesMax} bytes at ${start}`);
}

/** The numbers of a repeated integer field, packed or one by one, as signed 64-bit. */
export function integers(field: Field): bigint[] {
  if (field.varint !== undefined) return [BigInt.asIntN(64, field.varint)];
  const values: bigint[] = [];
  for (let at = 0; at < field.bytes.length;) {
    const { value, end } = readVarint(field.bytes, at);
    values.push(BigInt.asIntN(64, value));
    at = end;
  }
  return values;
}

export function text(field: Field): string {
  return new TextDecoder().decode(field.bytes);
}

/** A message as it is written: pieces that {@link join} puts together. */
export type Message = readonly Uint8Array[];

export function integerField(number: number, value: number | bigint): Message {
  return [writeVarint(number * 8 + varint), writeVarint(value)];
}

/** 32-bit float, little-endian. */
export function floatField(number: number, value: number): Message {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setFloat32(0, value, true);
  return [writeVarint(number * 8 + fixed32), bytes];
}

export function textField(number: number, value: string): Message {
  return messageField(number, [new TextEncoder().encode(value)]);
}

/** A field that holds a message, or plain bytes. */
export function messageField(number: number, message: Message): Message {
  const length = message.reduce((sum, piece) => sum + piece.length, 0);
  return [writeVarint(number * 8 + delimited), writeVarint(length), ...message];
}

export function join(message: Message): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(message.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of message) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}

function writeVarint(value: number | bigint): Uint8Array {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  bytes.push(Number(rest));
  return Uint8Array.from(bytes);
}
