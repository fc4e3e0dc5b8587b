import { hashBytes, type LeafHasher } from "./merkle.ts";

/**
 * SHA-256 (FIPS 180-4) in plain JavaScript, for browsers: what they have of their own is asynchronous, and so could not say
 * whether a delta is right before it is committed, and is missing on pages that do not come over TLS.
 */

/** The first 32 bits of the fractions of the cube roots of the first 64 primes. */
const roundConstants = new Int32Array(64);
/** The first 32 bits of the fractions of the square roots of the first 8 primes. */
const initialState = new Int32Array(8);

for (let candidate = 2, found = 0; found < 64; candidate++) {
  let isPrime = true;
  for (let factor = 2; factor * factor <= candidate && isPrime; factor++) isPrime = candidate % factor !== 0;
  if (!isPrime) continue;
  if (found < 8) initialState[found] = fraction(candidate ** (1 / 2));
  roundConstants[found++] = fraction(candidate ** (1 / 3));
}

function fraction(root: number): number {
  return (root - Math.floor(root)) * 2 ** 32;
}

const blockBytes = 64;
const schedule = new Int32Array(64);
const state = new Int32Array(8);
/** The end of a message with its padding: at most a byte less than a block, one bit, and the length. */
const tail = new Uint8Array(2 * blockBytes);
const tailView = new DataView(tail.buffer);

/** The 32 bytes of SHA-256 of `data`. */
export function sha256(data: Uint8Array): Uint8Array {
  const digest = new Uint8Array(hashBytes);
  hashInto(digest, 0, null, data, 0, data.byteLength);
  return digest;
}

/** HMAC-SHA-256 (RFC 2104): the 32 bytes that prove to know `key`. */
export function hmacSha256(key: Uint8Array, message: Uint8Array): Uint8Array {
  const block = new Uint8Array(blockBytes);
  block.set(key.byteLength > blockBytes ? sha256(key) : key);
  const inner = new Uint8Array(blockBytes + message.byteLength);
  inner.set(block.map((byte) => byte ^ 0x36));
  inner.set(message, blockBytes);
  const outer = new Uint8Array(blockBytes + hashBytes);
  outer.set(block.map((byte) => byte ^ 0x5c));
  outer.set(sha256(inner), blockBytes);
  return sha256(outer);
}

/** The hashes of a Merkle tree, one message after the other. */
export const scriptHasher: LeafHasher = {
  leaves: (data, leafBytes) => hashEach(0x00, data, leafBytes),
  nodes: (children) => hashEach(0x01, children, 2 * hashBytes),
};

function hashEach(prefix: number, data: Uint8Array, bytes: number): Uint8Array {
  const count = Math.ceil(data.byteLength / bytes);
  const hashes = new Uint8Array(count * hashBytes);
  for (let i = 0; i < count; i++)
    hashInto(hashes, i * hashBytes, prefix, data, i * bytes, Math.min((i + 1) * bytes, data.byteLength));
  return hashes;
}

/** Puts SHA-256(prefix || data[start, end)) at `at` of `into`. */
function hashInto(
  into: Uint8Array,
  at: number,
  prefix: number | null,
  data: Uint8Array,
  start: number,
  end: number,
): void {
  state.set(initialState);
  const shift = prefix === null ? 0 : 1;
  const messageBytes = end - start + shift;
  const wholeBytes = messageBytes - (messageBytes % blockBytes);
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  for (let done = 0; done < wholeBytes; done += blockBytes) {
    if (done === 0 && prefix !== null) {
      schedule[0] = firstWord(prefix, data, start);
      for (let i = 1; i < 16; i++) schedule[i] = view.getInt32(start + 4 * i - 1);
    } else {
      const from = start + done - shift;
      for (let i = 0; i < 16; i++) schedule[i] = view.getInt32(from + 4 * i);
    }
    compress();
  }
  finish(prefix, data.subarray(Math.max(start, start + wholeBytes - shift), end), messageBytes, wholeBytes);
  const out = new DataView(into.buffer, into.byteOffset + at, hashBytes);
  for (let i = 0; i < 8; i++) out.setInt32(4 * i, state[i]!);
}

function firstWord(prefix: number, data: Uint8Array, start: number): number {
  return (prefix << 24) | (data[start]! << 16) | (data[start + 1]! << 8) | data[start + 2]!;
}

/** Section 5.1.1: a 1 bit, zeros, and the length in bits. */
function finish(prefix: number | null, rest: Uint8Array, messageBytes: number, wholeBytes: number): void {
  tail.fill(0);
  let used = 0;
  if (wholeBytes === 0 && prefix !== null) tail[used++] = prefix;
  tail.set(rest, used);
  used += rest.byteLength;
  tail[used] = 0x80;
  const bytes = used + 9 <= blockBytes ? blockBytes : 2 * blockBytes;
  tailView.setUint32(bytes - 8, messageBytes / 2 ** 29);
  tailView.setUint32(bytes - 4, messageBytes << 3);
  for (let done = 0; done < bytes; done += blockBytes) {
    for (let i = 0; i < 16; i++) schedule[i] = tailView.getInt32(done + 4 * i);
    compress();
  }
}

/** Section 6.2.2, with the block in the first 16 words of the schedule. */
function compress(): void {
  const w = schedule;
  const k = roundConstants;
  for (let i = 16; i < 64; i++) {
    const x = w[i - 15]!;
    const y = w[i - 2]!;
    const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
    const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
    w[i] = (w[i - 16]! + s0 + w[i - 7]! + s1) | 0;
  }
  let a = state[0]!;
  let b = state[1]!;
  let c = state[2]!;
  let d = state[3]!;
  let e = state[4]!;
  let f = state[5]!;
  let g = state[6]!;
  let h = state[7]!;
  for (let i = 0; i < 64; i++) {
    const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
    const t1 = (h + s1 + ((e & f) ^ (~e & g)) + k[i]! + w[i]!) | 0;
    const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + t1) | 0;
    d = c;
    c = b;
    b = a;
    a = (t1 + t2) | 0;
  }
  state[0]! += a;
  state[1]! += b;
  state[2]! += c;
  state[3]! += d;
  state[4]! += e;
  state[5]! += f;
  state[6]! += g;
  state[7]! += h;
}
