import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { crc32c, crc32cRange } from "../../src/protocol/crc32c.ts";
import { encodeMessage, frame, writeHeader } from "../../src/protocol/encode.ts";
import { ProtocolFault } from "../../src/protocol/fault.ts";
import { Framer } from "../../src/protocol/framer.ts";
import { handshakePayloadBytesMax, headerBytes, payloadBytesMax } from "../../src/protocol/limits.ts";
import type { Frame } from "../../src/protocol/messages.ts";
import { joined } from "./bytes.ts";

function open(): Framer {
  const framer = new Framer(crc32c);
  framer.limitPayload(payloadBytesMax);
  return framer;
}

/** Frames until more bytes are needed; throws the fault. */
function drain(framer: Framer): Frame[] {
  const frames: Frame[] = [];
  for (let next = framer.next(); next !== null; next = framer.next()) {
    if (next instanceof ProtocolFault) throw next;
    frames.push(next);
  }
  return frames;
}

function codeOf(framer: Framer, bytes: Uint8Array): string | null {
  framer.push(bytes);
  let next = framer.next();
  while (next !== null && !(next instanceof ProtocolFault)) next = framer.next();
  return next?.code ?? null;
}

function header(payloadBytes: number, type = 11): Uint8Array {
  const bytes = new Uint8Array(headerBytes);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, payloadBytes, true);
  view.setUint8(4, type);
  view.setUint32(12, crc32cRange(bytes, 0, 12), true);
  return bytes;
}

const payloads = fc.array(fc.tuple(fc.integer({ min: 1, max: 20 }), fc.uint8Array({ maxLength: 90 })), {
  maxLength: 8,
});

describe("framer", () => {
  test("any slicing gives the same frames", () => {
    const slices = fc.array(fc.integer({ min: 1, max: 70 }), { minLength: 1, maxLength: 10 });
    fc.assert(
      fc.property(payloads, slices, (contents, sizes) => {
        const stream = joined(contents.flatMap(([type, payload]) => frame(crc32c, type, [payload])));
        const expected = contents.map(([type, payload]) => ({ type, flags: 0, payload }));
        expect(stream.length % 8).toBe(0);
        for (const cut of [sizes, [1], [stream.length || 1]]) {
          const framer = open();
          const found: Frame[] = [];
          for (let at = 0, turn = 0; at < stream.length; turn++) {
            const end = at + cut[turn % cut.length]!;
            framer.push(stream.slice(at, end)); // a buffer of its own each time, as a socket gives
            found.push(...drain(framer));
            at = end;
          }
          expect(found).toEqual(expected);
          expect(framer.heldBytes).toBe(0);
        }
      }),
      { numRuns: 300, seed: 20_260_103 },
    );
  });

  test("what was not drained is kept for the next push", () => {
    const stream = joined([1, 2, 3].flatMap((type) => frame(crc32c, type, [Uint8Array.of(type)])));
    const framer = open();
    framer.push(stream.subarray(0, 30));
    expect((framer.next() as Frame).type).toBe(1);
    framer.push(stream.subarray(30, 40));
    framer.push(stream.subarray(40));
    expect(drain(framer).map((found) => found.type)).toEqual([2, 3]);
  });

  test("a whole frame is a view, one in pieces is not", () => {
    const stream = joined(frame(crc32c, 9, [new Uint8Array(1000).fill(7)]));
    const framer = open();
    framer.push(stream);
    expect((framer.next() as Frame).payload.buffer).toBe(stream.buffer);
    framer.push(stream.subarray(0, 500));
    expect(framer.next()).toBeNull();
    framer.push(stream.subarray(500));
    const copy = framer.next() as Frame;
    expect(copy.payload.buffer).not.toBe(stream.buffer);
    expect(copy.payload).toEqual(stream.subarray(16, 1016));
  });

  test("every flipped bit is found", () => {
    for (const payload of [new Uint8Array(0), Uint8Array.from({ length: 37 }, (_, index) => index)]) {
      const whole = joined(frame(crc32c, 10, [payload]));
      for (let bit = 0; bit < whole.length * 8; bit++) {
        const damaged = whole.slice();
        damaged[bit >> 3]! ^= 1 << (bit & 7);
        const expected = bit < headerBytes * 8 && bit >> 5 !== 2 ? "BAD_HEADER" : "BAD_CHECKSUM|BAD_HEADER";
        expect(expected).toContain(codeOf(open(), damaged) ?? "nothing");
      }
    }
  });

  test("a truncated stream gives no frame and no fault", () => {
    const whole = joined(frame(crc32c, 10, [new Uint8Array(37)]));
    for (let length = 0; length < whole.length; length++) {
      expect(codeOf(open(), whole.slice(0, length))).toBeNull();
    }
  });

  test("every length: checked as soon as it is known", () => {
    const lengths = [0, 1, 8, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1];
    for (const limit of [handshakePayloadBytesMax, payloadBytesMax]) {
      for (const length of [...lengths, limit - 1, limit, limit + 1]) {
        const framer = new Framer(crc32c);
        framer.limitPayload(limit);
        const code = codeOf(framer, header(length));
        expect([length, code]).toEqual([length, length > limit ? "TOO_LONG" : null]);
        if (length > limit) expect(framer.heldBytes).toBe(0);
      }
    }
  });

  test("frames of exactly the limit pass, and are refused to be sent above it", () => {
    const framer = open();
    const payload = new Uint8Array(payloadBytesMax).fill(3);
    framer.push(joined(frame(crc32c, 9, [payload])));
    expect(drain(framer)[0]?.payload.length).toBe(payloadBytesMax);
    expect(() => frame(crc32c, 9, [payload, Uint8Array.of(1)])).toThrow("above the protocol");
    expect(() => writeHeader(new Uint8Array(16), 1, 0, payloadBytesMax + 1, 0)).toThrow();
  });

  test("the limit holds from the next frame on, within one push", () => {
    const small = frame(crc32c, 1, [new Uint8Array(10)]);
    const large = frame(crc32c, 9, [new Uint8Array(20_000)]);
    const framer = new Framer(crc32c);
    framer.push(joined([...small, ...large]));
    expect((framer.next() as Frame).type).toBe(1);
    framer.limitPayload(payloadBytesMax);
    expect((framer.next() as Frame).type).toBe(9);
    expect(codeOf(new Framer(crc32c), joined([...small, ...large]))).toBe("TOO_LONG");
  });

  test("an announced length costs nothing", () => {
    // Announced: 256 MiB in all. Held: what has arrived, and no more than twice that and a kilobyte.
    let heldBytesMax = 0;
    const framers = Array.from({ length: 1000 }, open);
    const allocated: number[] = [];
    for (const framer of framers) {
      framer.push(header(payloadBytesMax));
      framer.next();
      framer.push(Uint8Array.of(1));
      framer.next();
      heldBytesMax = Math.max(heldBytesMax, framer.heldBytes);
      allocated.push(framer.capacityBytes);
    }
    expect(heldBytesMax).toBe(headerBytes + 1);
    expect(Math.max(...allocated)).toBeLessThanOrEqual(1024);
    const framer = open();
    framer.push(header(payloadBytesMax));
    for (let bytes = 0; bytes < 200_000; bytes += 1000) {
      framer.push(new Uint8Array(1000));
      expect(framer.next()).toBeNull();
      expect(framer.capacityBytes).toBeLessThanOrEqual(2 * framer.heldBytes + 1024);
    }
  });

  test("a fault is final", () => {
    const framer = open();
    expect(codeOf(framer, new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n"))).toBe("BAD_HEADER");
    framer.push(joined(encodeMessage(crc32c, { type: "PING", opaque: new Uint8Array(8) })));
    expect((framer.next() as ProtocolFault).code).toBe("BAD_HEADER");
    expect(framer.heldBytes).toBe(0);
  });
});
