import { describe, expect, test } from "bun:test";
import { bytesOfHex, hexOf, Reader, Writer } from "../../src/protocol/cursor.ts";
import { ProtocolFault } from "../../src/protocol/fault.ts";
import { decodeDeltaPart } from "../../src/protocol/part.ts";
import { randomOf } from "./bytes.ts";

const max = 2n ** 53n - 1n;
const edges = [
  0n,
  1n,
  7n,
  8n,
  2n ** 31n - 1n,
  2n ** 31n,
  2n ** 32n - 1n,
  2n ** 32n,
  2n ** 52n,
  max - 1n,
  max,
  max + 1n,
  2n ** 63n,
  2n ** 64n - 1n,
];

function refused(work: () => unknown): boolean {
  try {
    work();
    return false;
  } catch (fault) {
    expect(fault).toBeInstanceOf(ProtocolFault);
    return true;
  }
}

describe("cursor", () => {
  test("u64: every edge, alone and in a row", () => {
    for (const edge of edges) {
      const bytes = new Uint8Array(new BigUint64Array([edge]).buffer);
      const wrong = edge > max;
      expect(refused(() => new Reader(bytes, "X").u64())).toBe(wrong);
      expect(refused(() => new Reader(bytes, "X").u64s(1))).toBe(wrong);
      if (wrong) continue;
      expect(new Reader(bytes, "X").u64()).toBe(Number(edge));
      expect([...new Reader(bytes, "X").u64s(1)]).toEqual([Number(edge)]);
      expect(new Writer(8).u64(Number(edge)).bytes).toEqual(bytes);
      expect(new Writer(8).u64s(Float64Array.of(Number(edge))).bytes).toEqual(bytes);
    }
  });

  test("never reads beyond its bytes, though the buffer goes on", () => {
    const bytes = new Uint8Array(64).subarray(8, 15);
    for (const read of ["u32", "u64", "f64"] as const) {
      const reader = new Reader(bytes, "X");
      reader.take(4);
      expect(refused(() => reader[read]())).toBeTrue();
      expect(reader.bytesLeft).toBe(3);
    }
    expect(refused(() => new Reader(bytes, "X").u64s(2 ** 29))).toBeTrue();
    expect(refused(() => new Reader(bytes, "X").take(8))).toBeTrue();
    expect(refused(() => new Reader(bytes, "X").zeros(8))).toBeTrue();
  });

  test("hex", () => {
    const bytes = Uint8Array.from({ length: 256 }, (_, index) => index);
    expect(hexOf(bytes)).toBe(Buffer.from(bytes).toString("hex"));
    expect(bytesOfHex(hexOf(bytes))).toEqual(bytes);
  });

  test("runs: legal or not as arithmetic without limits has it", () => {
    const seed = 20_260_104;
    const random = randomOf(seed);
    let legal = 0;
    for (let round = 0; round < 30_000; round++) {
      const words: bigint[] = [];
      let dataBytes = 0;
      for (let count = random(4); count > 0; count--) {
        const near = edges[random(edges.length)]! + BigInt(random(20));
        const offset = near > 2n ** 64n - 1n ? edges[0]! : near;
        const length = random(9);
        dataBytes += length;
        words.push(offset, BigInt(length));
      }
      if (random(2) === 0) sortPairs(words);
      const payload = new Uint8Array(16 + words.length * 8 + dataBytes);
      new Uint32Array(payload.buffer, 0, 3).set([1, 2, words.length / 2]);
      payload.set(new Uint8Array(BigUint64Array.from(words).buffer), 16);
      const expected = isLegal(words);
      if (refused(() => decodeDeltaPart(payload)) === expected)
        throw new Error(`seed ${seed}: ${words.join(" ")}`);
      if (expected) legal++;
    }
    expect(legal).toBeGreaterThan(3_000);
  });
});

function isLegal(words: readonly bigint[]): boolean {
  let end = 0n;
  for (let index = 0; index < words.length; index += 2) {
    const [offset, length] = [words[index]!, words[index + 1]!];
    if (offset < end || length === 0n) return false;
    end = offset + length;
    if (end > max) return false;
  }
  return true;
}

function sortPairs(words: bigint[]): void {
  const pairs: [bigint, bigint][] = [];
  for (let index = 0; index < words.length; index += 2) pairs.push([words[index]!, words[index + 1]!]);
  pairs.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  words.splice(0, words.length, ...pairs.flat());
}
