import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  addHashes,
  addPart,
  type Assembly,
  type Delta,
  type HashesAssembly,
  leafCountOf,
} from "../../src/protocol/assembly.ts";
import { crc32c } from "../../src/protocol/crc32c.ts";
import { hexOf } from "../../src/protocol/cursor.ts";
import { deltaFrame, encodeDeltaPart } from "../../src/protocol/encode.ts";
import { ProtocolFault } from "../../src/protocol/fault.ts";
import { Framer } from "../../src/protocol/framer.ts";
import { metaBytesMax, partBytesMin, payloadBytesMax } from "../../src/protocol/limits.ts";
import {
  decodeDeltaPart,
  type DeltaChunk,
  type DeltaHead,
  type DeltaPart,
  headBytesOf,
} from "../../src/protocol/part.ts";
import { bytesOfRuns, splitRuns } from "../../src/protocol/split.ts";
import { joined } from "./bytes.ts";

const incarnation = "0123456789abcdef0123456789abcdef";
const headOf = (about: Partial<DeltaHead>): DeltaHead => ({
  incarnation,
  from: 3,
  to: 7,
  totalBytes: 0,
  full: false,
  repair: false,
  meta: undefined,
  root: undefined,
  ...about,
});

function part(about: Partial<DeltaPart>): DeltaPart {
  const runs = about.runs ?? new Float64Array(0);
  const data = about.data ?? new Uint8Array(bytesOfRuns(runs));
  return {
    type: "DELTA",
    subscription: 1,
    last: true,
    head: undefined,
    payloadBytes: partBytesMin,
    ...about,
    runs,
    data,
  };
}

function codeOf(work: () => unknown): string | null {
  try {
    work();
    return null;
  } catch (fault) {
    if (fault instanceof ProtocolFault) return fault.code;
    throw fault;
  }
}

/** Splits, encodes, frames, decodes and assembles. */
function through(
  head: DeltaHead,
  runs: Float64Array,
  image: Uint8Array,
  partBytes = payloadBytesMax,
): { delta: Delta; chunks: DeltaChunk[]; parts: DeltaPart[] } {
  const framer = new Framer(crc32c);
  framer.limitPayload(payloadBytesMax);
  const limits = {
    bytes: image.length,
    stretches: runs.length / 2,
    inside: (offset: number, bytes: number) => offset + bytes <= image.length,
  };
  const parts: DeltaPart[] = [];
  const pieces = [...splitRuns(runs, headBytesOf(head.meta, head.root), partBytes)];
  let assembly: Assembly | null = null;
  let delta: Delta | null = null;
  const chunks: DeltaChunk[] = [];
  for (const [index, piece] of pieces.entries()) {
    const data: Uint8Array[] = [];
    for (let at = 0; at < piece.length; at += 2)
      data.push(image.subarray(piece[at], piece[at]! + piece[at + 1]!));
    const last = index === pieces.length - 1;
    const encoded = encodeDeltaPart(crc32c, { head: index === 0 ? head : null, last, runs: piece, data });
    framer.push(joined(deltaFrame(9, encoded)));
    const frame = framer.next();
    if (frame === null || frame instanceof ProtocolFault) throw frame ?? new Error("no frame");
    const decoded = decodeDeltaPart(frame.payload);
    parts.push(decoded);
    const result = addPart(assembly, decoded, limits);
    assembly = result.kind === "partial" ? result.assembly : null;
    delta = result.kind === "whole" ? result.delta : null;
    chunks.push(...(result.kind === "partial" ? result.chunks : result.delta.chunks));
  }
  return { delta: delta!, chunks, parts };
}

const image = Uint8Array.from({ length: 3_000_000 }, (_, index) => (index * 2654435761) >>> 13);
/** Gaps and lengths to runs inside the image. */
function runsOf(pairs: readonly (readonly [number, number])[]): Float64Array {
  const runs: number[] = [];
  let at = 0;
  for (const [gap, bytes] of pairs) {
    if (at + gap + bytes > image.length) break;
    runs.push(at + gap, bytes);
    at += gap + bytes;
  }
  return Float64Array.from(runs);
}

describe("a delta", () => {
  const bytes = fc.oneof(
    fc.integer({ min: 1, max: 100 }),
    fc.integer({ min: 200_000, max: 300_000 }),
    fc.constantFrom(payloadBytesMax - 72, payloadBytesMax - 73, payloadBytesMax - 71, 2 * payloadBytesMax),
  );
  const pairs = fc.array(fc.tuple(fc.integer({ min: 0, max: 99 }), bytes), { maxLength: 12 });
  const sizes = fc.constantFrom(65_536, 100_000, payloadBytesMax);
  const optional = (max: number) => fc.option(fc.uint8Array({ maxLength: max }), { nil: undefined });
  const root = fc.option(fc.uint8Array({ minLength: 32, maxLength: 32 }), { nil: undefined });

  test("survives split, encoding, framing, decoding and assembly", () => {
    fc.assert(
      fc.property(pairs, optional(50), root, sizes, (wanted, meta, hash, partBytes) => {
        const runs = runsOf(wanted);
        const head = headOf({ totalBytes: bytesOfRuns(runs), meta, root: hash });
        const { delta, chunks, parts } = through(head, runs, image, partBytes);
        const { chunks: last, partsBefore, subscription, ...found } = delta;
        expect(last).toEqual(chunks.slice(chunks.length - last.length));
        expect(partsBefore).toBe(parts.length - 1);
        expect(subscription).toBe(9);
        expect(found).toEqual(head);
        const copy = new Uint8Array(image.length);
        for (const chunk of chunks) {
          for (let at = 0, from = 0; at < chunk.runs.length; at += 2) {
            const length = chunk.runs[at + 1]!;
            copy.set(chunk.data.subarray(from, from + length), chunk.runs[at]!);
            from += length;
          }
        }
        const expected = new Uint8Array(image.length);
        for (let at = 0; at < runs.length; at += 2) {
          expected.set(image.subarray(runs[at], runs[at]! + runs[at + 1]!), runs[at]!);
        }
        expect(Buffer.compare(copy, expected)).toBe(0);
        for (const early of parts.slice(0, -1)) {
          expect(early.payloadBytes).toBeGreaterThan(partBytes - 8192);
          expect(early.payloadBytes).toBeLessThanOrEqual(partBytes);
        }
      }),
      { numRuns: 60, seed: 20_260_103 },
    );
  });

  test("many small runs and the most metadata fit their frames", () => {
    const runs = runsOf(Array.from({ length: 40_000 }, () => [9, 8] as const));
    const meta = new Uint8Array(metaBytesMax).fill(32);
    const head = headOf({ totalBytes: bytesOfRuns(runs), meta, root: new Uint8Array(32) });
    const { chunks, parts } = through(head, runs, image);
    expect(parts.length).toBe(4);
    expect(chunks.map((chunk) => [...chunk.runs]).flat()).toEqual([...runs]);
    const small = through(head, runs, image, 65_536);
    expect(small.parts.length).toBe(16);
    expect(small.chunks.map((chunk) => [...chunk.runs]).flat()).toEqual([...runs]);
  });

  test("one encoding serves many subscriptions", () => {
    const runs = Float64Array.of(8, 16);
    const data = [image.subarray(8, 24)];
    const encoded = encodeDeltaPart(crc32c, { head: headOf({ totalBytes: 16 }), last: true, runs, data });
    let reads = 0;
    const counting = (view: Uint8Array, seed?: number) => (reads++, crc32c(view, seed));
    for (const subscription of [1, 2, 4_000_000_000]) {
      const views = deltaFrame(subscription, encoded);
      expect(views.at(-1)!.buffer).toBe(image.buffer);
      const framer = new Framer(counting);
      framer.push(joined(views));
      const frame = framer.next();
      if (frame === null || frame instanceof ProtocolFault) throw frame ?? new Error("no frame");
      expect(decodeDeltaPart(frame.payload).subscription).toBe(subscription);
    }
    expect(reads).toBe(3);
  });
});

describe("an illegal part", () => {
  const encode = (words: number[], tail = 0) => {
    const payload = new Uint8Array(words.length * 4 + tail);
    new Uint32Array(payload.buffer, 0, words.length).set(words);
    return payload;
  };
  const decode = (words: number[], tail = 0) => codeOf(() => decodeDeltaPart(encode(words, tail)));
  const hash = [1, 2, 3, 4]; // incarnation

  test("cannot be decoded", () => {
    expect(decode([1, 2, 0, 0])).toBeNull(); // an empty last part
    expect(decode([1, 2, 0])).toBe("BAD_MESSAGE");
    expect(decode([1, 64, 0, 0])).toBe("BAD_MESSAGE"); // unknown flag
    expect(decode([1, 2 | 4, 0, 0])).toBe("BAD_MESSAGE"); // full, not first
    expect(decode([1, 2, 0, 5], 8)).toBe("BAD_MESSAGE"); // metadata, not first
    expect(decode([1, 2, 1, 0])).toBe("BAD_MESSAGE"); // a run is missing
    expect(decode([1, 2, 0xffffffff, 0])).toBe("BAD_MESSAGE");
    expect(decode([1, 2, 0, 0], 3)).toBe("BAD_MESSAGE"); // data without a run
    expect(decode([1, 2, 1, 0, 64, 0, 3, 0], 3)).toBeNull();
    expect(decode([1, 2, 1, 0, 64, 0, 3, 0], 4)).toBe("BAD_MESSAGE");
    expect(decode([1, 2, 1, 0, 64, 0, 0, 0])).toBe("BAD_MESSAGE"); // an empty run
    expect(decode([1, 2, 1, 0, 0, 0x200000, 3, 0], 3)).toBe("BAD_MESSAGE"); // offset 2^53
    expect(decode([1, 2, 1, 0, 0xfffffffe, 0x1fffff, 3, 0], 3)).toBe("BAD_MESSAGE"); // ends above 2^53
    expect(decode([1, 2, 1, 0, 0, 0, 3, 0x200000], 3)).toBe("BAD_MESSAGE"); // 2^53 bytes and more
    expect(decode([1, 2, 2, 0, 8, 0, 3, 0, 10, 0, 3, 0], 6)).toBe("BAD_MESSAGE"); // overlap
    expect(decode([1, 2, 2, 0, 8, 0, 3, 0, 11, 0, 3, 0], 6)).toBeNull(); // touching
    const head = (flags: number, from: number, to: number) =>
      decode([1, 3 | flags, 0, 0, ...hash, from, 0, to, 0, 0, 0]);
    expect(head(0, 1, 2)).toBeNull();
    expect(head(0, 2, 2)).toBe("BAD_MESSAGE");
    expect(head(0, 3, 2)).toBe("BAD_MESSAGE");
    expect(head(32, 2, 2)).toBeNull(); // a repair may stay at its version
    expect(head(32, 3, 2)).toBe("BAD_MESSAGE");
    expect(head(4, 0, 0)).toBeNull(); // full at version 0
    expect(head(4, 1, 2)).toBe("BAD_MESSAGE"); // full from 1
    expect(head(4 | 32, 0, 2)).toBe("BAD_MESSAGE");
    expect(head(16, 1, 2)).toBe("BAD_MESSAGE"); // no root there
    const meta = (bytes: number, tail: number) =>
      decode([1, 3 | 8, 0, bytes, ...hash, 1, 0, 2, 0, 0, 0], tail);
    expect(meta(0, 0)).toBeNull();
    expect(meta(3, 8)).toBeNull();
    expect(meta(3, 3)).toBe("BAD_MESSAGE"); // padding is missing
    expect(meta(metaBytesMax, metaBytesMax)).toBeNull();
    expect(meta(metaBytesMax + 8, metaBytesMax + 8)).toBe("BAD_MESSAGE");
    const dirty = encode([1, 3 | 8, 0, 3, ...hash, 1, 0, 2, 0, 0, 0], 8);
    dirty[dirty.length - 1] = 1;
    expect(codeOf(() => decodeDeltaPart(dirty))).toBe("BAD_MESSAGE"); // padding not zero
  });

  test("cannot be assembled", () => {
    const limits = {
      bytes: 100,
      stretches: 1,
      inside: (offset: number, bytes: number) => offset >= 10 && offset + bytes <= 110,
    };
    const add = (assembly: Assembly | null, about: Partial<DeltaPart>) =>
      addPart(assembly, part(about), limits);
    const runs = (...pairs: number[]) => Float64Array.from(pairs);
    const begun = add(null, { head: headOf({ totalBytes: 20 }), last: false, runs: runs(10, 8) });
    if (begun.kind !== "partial") throw new Error("not partial");
    const going = begun.assembly;
    expect(add(going, { runs: runs(18, 12) }).kind).toBe("whole");
    expect(codeOf(() => add(null, { runs: runs(10, 8) }))).toBe("BAD_MESSAGE"); // no head
    expect(codeOf(() => add(going, { head: headOf({}) }))).toBe("BAD_MESSAGE"); // a head in the middle
    expect(codeOf(() => add(going, { runs: runs(17, 12) }))).toBe("BAD_MESSAGE"); // goes back
    expect(codeOf(() => add(going, { runs: runs(18, 13) }))).toBe("BAD_MESSAGE"); // more than announced
    expect(codeOf(() => add(going, { runs: runs(18, 11) }))).toBe("BAD_MESSAGE"); // less
    expect(codeOf(() => add(going, { runs: runs(100, 12) }))).toBe("REGION");
    expect(codeOf(() => add(null, { head: headOf({ totalBytes: 4 }), runs: runs(9, 4) }))).toBe("REGION");
    expect(codeOf(() => add(null, { head: headOf({ totalBytes: 101 }), last: false }))).toBe("REGION");
    expect(codeOf(() => add(going, { last: false, runs: runs(18, 1), payloadBytes: partBytesMin - 1 }))).toBe(
      "BAD_MESSAGE",
    );
    const full = headOf({ full: true, from: 0, totalBytes: 99 });
    expect(codeOf(() => add(null, { head: full, runs: runs(10, 99) }))).toBe("BAD_MESSAGE");
    expect(add(null, { head: { ...full, totalBytes: 100 }, runs: runs(10, 100) }).kind).toBe("whole");
  });

  test("is more runs than the subscription can need", () => {
    const limits = { bytes: 160, stretches: 2, inside: () => true };
    const add = (assembly: Assembly | null, about: Partial<DeltaPart>) =>
      addPart(assembly, part(about), limits);
    const cells = (first: number, count: number) =>
      Float64Array.from({ length: 2 * count }, (_, i) => (i % 2 ? 1 : first + i));
    const head = headOf({ totalBytes: 12 });
    expect(add(null, { head, runs: cells(0, 12) }).kind).toBe("whole"); // one for each stretch, and for each 16 bytes
    const more = headOf({ totalBytes: 13 });
    expect(codeOf(() => add(null, { head: more, last: false, runs: cells(0, 13) }))).toBe("BAD_MESSAGE");
    const begun = add(null, { head: more, last: false, runs: cells(0, 10) });
    if (begun.kind !== "partial") throw new Error("not partial");
    expect(codeOf(() => add(begun.assembly, { runs: cells(20, 3) }))).toBe("BAD_MESSAGE");
    expect(add(begun.assembly, { runs: cells(19, 3) }).kind).toBe("whole"); // the first of them was cut
  });
});

describe("hash lists", () => {
  const leaves = 3000;
  const bytes = leaves * 4096 - 1000;
  const all = Uint8Array.from({ length: leaves * 32 }, (_, index) => (index * 7) >>> 2);
  const piece = (first: number, count: number) => ({
    type: "HASHES" as const,
    subscription: 1,
    first: first === 0,
    last: first + count === leaves,
    version: 5,
    firstLeaf: first,
    hashes: all.subarray(first * 32, (first + count) * 32),
  });

  test("come together in order", () => {
    expect(leafCountOf(bytes)).toBe(leaves);
    let assembly: HashesAssembly | null = null;
    for (const [first, count] of [
      [0, 1024],
      [1024, 1500],
      [2524, 476],
    ] as const) {
      const result = addHashes(assembly, piece(first, count), bytes);
      if (result.kind === "partial") assembly = result.assembly;
      else expect([result.version, hexOf(result.leafHashes)]).toEqual([5, hexOf(all)]);
    }
  });

  test("that do not fit are refused", () => {
    const start = addHashes(null, piece(0, 1024), bytes);
    if (start.kind !== "partial") throw new Error("not partial");
    const next = (about: object) =>
      codeOf(() => addHashes(start.assembly, { ...piece(1024, 1100), ...about }, bytes));
    expect(next({})).toBeNull();
    expect(next({ first: true })).toBe("BAD_MESSAGE");
    expect(next({ version: 6 })).toBe("BAD_MESSAGE");
    expect(next({ firstLeaf: 1023 })).toBe("BAD_MESSAGE");
    expect(next({ last: true })).toBe("BAD_MESSAGE"); // leaves are missing
    expect(next({ hashes: new Uint8Array(32 * 1023) })).toBe("BAD_MESSAGE"); // too small a part
    expect(next({ hashes: new Uint8Array(32 * 1977) })).toBe("BAD_MESSAGE"); // too many
    expect(codeOf(() => addHashes(null, { ...piece(0, 1024), first: false }, bytes))).toBe("BAD_MESSAGE");
  });
});
