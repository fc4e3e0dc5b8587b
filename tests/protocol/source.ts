import { crc32c } from "../../src/protocol/crc32c.ts";
import { deltaFrame, encodeDeltaPart } from "../../src/protocol/encode.ts";
import { bytesOfRuns } from "../../src/protocol/split.ts";
import { joined } from "./bytes.ts";

/** Bytes of the image of the simulated world: enough for several parts of a delta and several leaves. */
export const imageBytes = 128 * 1024;
const blockBytes = 64;
const leaf = 4096;

/** A range of the image: what one subscription follows. */
export interface Range {
  readonly start: number;
  readonly bytes: number;
}

/** What a publisher has: an image, its versions, and (for the judge alone) what every version looked like. */
export class Source {
  image = new Uint8Array(imageBytes);
  version = 0;
  #life = 0;
  readonly #stamps = new Float64Array(imageBytes / blockBytes);
  readonly #past = new Map<string, Uint8Array>();

  constructor() {
    this.#remember();
  }

  get incarnation(): string {
    return this.#life.toString(16).padStart(32, "0");
  }

  /** What `range` was at a version of an incarnation. */
  at(incarnation: string, version: number, range: Range): Uint8Array | undefined {
    return this.#past.get(`${incarnation} ${version}`)?.subarray(range.start, range.start + range.bytes);
  }

  /** Fills a range with a value; always a change, because the version is mixed in. */
  commit(start: number, bytes: number, value: number): Range {
    const end = Math.min(imageBytes, start + bytes);
    this.version++;
    for (let at = start; at < end; at++) this.image[at] = value + this.version + at;
    const last = Math.ceil(end / blockBytes);
    this.#stamps.fill(this.version, Math.floor(start / blockBytes), last);
    this.#remember();
    return { start, bytes: end - start };
  }

  /** A restart that has lost everything. */
  forget(): void {
    this.#life++;
    this.version = 0;
    this.image = new Uint8Array(imageBytes).fill(this.#life);
    this.#stamps.fill(0);
    this.#remember();
  }

  /** Runs in `range` that changed after `version`, or lie in one of the leaves; all of it if `version` is null. */
  changed(range: Range, version: number | null, leaves: ReadonlySet<number> = new Set()): Float64Array {
    if (version === null) return Float64Array.of(range.start, range.bytes);
    const runs: number[] = [];
    const end = range.start + range.bytes;
    for (let at = range.start; at < end;) {
      const next = Math.min(end, (Math.floor(at / blockBytes) + 1) * blockBytes);
      const inLeaf =
        leaves.has(Math.floor((at - range.start) / leaf)) ||
        leaves.has(Math.floor((next - 1 - range.start) / leaf));
      if (inLeaf || this.#stamps[Math.floor(at / blockBytes)]! > version) {
        if (runs.length > 0 && runs.at(-2)! + runs.at(-1)! === at) runs[runs.length - 1]! += next - at;
        else runs.push(at, next - at);
      }
      at = next;
    }
    return Float64Array.from(runs);
  }

  #remember(): void {
    this.#past.set(`${this.incarnation} ${this.version}`, this.image.slice());
  }
}

/** 32 bytes from a fast hash: cryptography is not what is tested here. */
function hash32(bytes: Uint8Array): Uint8Array {
  const hash = new Uint8Array(32);
  new DataView(hash.buffer).setBigUint64(0, BigInt(Bun.hash(bytes)), true);
  return hash;
}

export function leafHashesOf(bytes: Uint8Array): Uint8Array {
  const hashes = new Uint8Array(Math.ceil(bytes.length / leaf) * 32);
  for (let at = 0; at < bytes.length; at += leaf)
    hashes.set(hash32(bytes.subarray(at, at + leaf)), (at / leaf) * 32);
  return hashes;
}

export function rootOf(bytes: Uint8Array): Uint8Array {
  return hash32(leafHashesOf(bytes));
}

export function leavesThatDiffer(a: Uint8Array, b: Uint8Array): Set<number> {
  const leaves = new Set<number>();
  for (let at = 0; at < a.length; at += 32) {
    if (Buffer.compare(a.subarray(at, at + 32), b.subarray(at, at + 32)) !== 0) leaves.add(at / 32);
  }
  return leaves;
}

/** A delta as its frames, with the bytes that the image has now. */
export function framesOf(
  { image, version: to, incarnation }: Source,
  subscription: number,
  range: Range,
  verify: boolean,
  about: { from: number; full: boolean; repair: boolean },
  runs: Float64Array,
): Uint8Array[] {
  const root = verify ? rootOf(image.subarray(range.start, range.start + range.bytes)) : undefined;
  const whole = { ...about, incarnation, to, totalBytes: bytesOfRuns(runs), meta: undefined, root };
  const pieces = smallParts(runs);
  return pieces.map((piece, index) => {
    const data: Uint8Array[] = [];
    for (let at = 0; at < piece.length; at += 2) {
      data.push(image.subarray(piece[at], piece[at]! + piece[at + 1]!));
    }
    const head = index === 0 ? whole : null;
    const last = index === pieces.length - 1;
    return joined(deltaFrame(subscription, encodeDeltaPart(crc32c, { head, last, runs: piece, data })));
  });
}

/** Cuts runs into parts of some 36 KB, so that a delta of this small world has several. */
function smallParts(runs: Float64Array): Float64Array[] {
  const parts: number[][] = [[]];
  let room = 36_000;
  for (let index = 0; index < runs.length; index += 2) {
    let offset = runs[index]!;
    let bytes = runs[index + 1]!;
    while (bytes > 0) {
      const taken = Math.min(bytes, room);
      parts.at(-1)!.push(offset, taken);
      offset += taken;
      bytes -= taken;
      room -= taken;
      if (room > 0) continue;
      parts.push([]);
      room = 36_000;
    }
  }
  if (parts.length > 1 && parts.at(-1)!.length === 0) parts.pop();
  return parts.map((part) => Float64Array.from(part));
}
