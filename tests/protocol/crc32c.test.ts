import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { crc32c, crc32cJoin, crc32cRange, crc32cShift } from "../../src/protocol/crc32c.ts";

/** Bit by bit, straight from the definition. */
function slow(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}

describe("crc32c", () => {
  test("RFC 3720, B.4, and the check value", () => {
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
    expect(crc32c(new Uint8Array(32).fill(255))).toBe(0x62a8ab43);
    expect(crc32c(Uint8Array.from({ length: 32 }, (_, index) => index))).toBe(0x46dd794e);
    expect(crc32c(Uint8Array.from({ length: 32 }, (_, index) => 31 - index))).toBe(0x113fdb5c);
    expect(crc32c(new TextEncoder().encode("123456789"))).toBe(0xe3069283);
    expect(crc32c(new Uint8Array(0))).toBe(0);
  });

  test("equals the definition, whole, in a range, continued and joined", () => {
    const bytes = fc.uint8Array({ maxLength: 200 });
    fc.assert(
      fc.property(bytes, bytes, (a, b) => {
        const both = Uint8Array.of(...a, ...b);
        const expected = slow(both);
        expect(crc32c(both)).toBe(expected);
        expect(crc32c(b, crc32c(a))).toBe(expected);
        expect(crc32cRange(both, a.length, both.length)).toBe(slow(b));
        expect(crc32cJoin(crc32c(a), crc32c(b), crc32cShift(b.length))).toBe(expected);
      }),
      { numRuns: 500, seed: 20_260_103 },
    );
  });

  test("joins long pieces", () => {
    for (const length of [262_144, 1_000_003]) {
      const b = Uint8Array.from({ length }, (_, index) => (index * 131) >>> 3);
      const a = Uint8Array.of(1, 2, 3);
      const joined = crc32cJoin(crc32c(a), crc32c(b), crc32cShift(length));
      expect(joined).toBe(crc32c(b, crc32c(a)));
    }
  });
});
