import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { crc32c, crc32cRange } from "../../src/protocol/crc32c.ts";
import { bytesOfHex } from "../../src/protocol/cursor.ts";
import { decodeFrame } from "../../src/protocol/decode.ts";
import { frame } from "../../src/protocol/encode.ts";
import { ProtocolFault } from "../../src/protocol/fault.ts";
import { Framer } from "../../src/protocol/framer.ts";
import { frameTypes } from "../../src/protocol/messages.ts";
import vectors from "../vectors/wire.json";
import { joined, randomOf } from "./bytes.ts";

setDefaultTimeout(30_000);

// More of it: FUZZ_FRAMES=10000000 FUZZ_SEED=7 bun test tests/protocol/fuzz.test.ts
const frames = Number(process.env["FUZZ_FRAMES"] ?? 200_000);
const seed = Number(process.env["FUZZ_SEED"] ?? 20_260_101);

/** A time-out for what may run for hours. */
const timeoutMs = 10_000 + frames / 20;

type Random = (below: number) => number;

const samples = vectors.frames.map((vector) => bytesOfHex(vector.frame));
const types = Object.values(frameTypes);
const edges = [
  0,
  1,
  2,
  3,
  15,
  16,
  31,
  32,
  255,
  256,
  4095,
  4096,
  65_535,
  65_536,
  262_144,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 1,
];

/** Damages a payload as a broken or hostile encoder would: flips, edge values, cuts, growth, splices. */
function damaged(random: Random, payload: Uint8Array): Uint8Array {
  let bytes: Uint8Array = payload.slice();
  for (let times = 1 + random(3); times > 0; times--) {
    if (bytes.length === 0) return Uint8Array.from({ length: random(40) }, () => random(256));
    const at = random(bytes.length);
    switch (random(6)) {
      case 0:
        bytes[at]! ^= 1 << random(8);
        break;
      case 1:
        bytes[at] = random(256);
        break;
      case 2:
        if (bytes.length >= 4) {
          const word = ((at >> 2) << 2) + 4 <= bytes.length ? (at >> 2) << 2 : 0;
          new DataView(bytes.buffer).setUint32(word, edges[random(edges.length)]!, true);
        }
        break;
      case 3:
        bytes = bytes.slice(0, at);
        break;
      case 4:
        bytes = joined([bytes, new Uint8Array(random(64))]);
        break;
      default: {
        const other = samples[random(samples.length)]!;
        bytes = joined([bytes.subarray(0, at), other.subarray(random(other.length))]);
      }
    }
  }
  return bytes;
}

/** Null, a message or a ProtocolFault; anything else is a crash. */
function outcome(work: () => unknown): string {
  try {
    const value = work();
    return value === null ? "skipped" : "decoded";
  } catch (fault) {
    if (fault instanceof ProtocolFault) return fault.code;
    throw fault;
  }
}

describe(`fuzz, seed ${seed}`, () => {
  test(
    `${frames} payloads: decoded or refused, never a crash`,
    () => {
      const random = randomOf(seed);
      const seen: Record<string, number> = {};
      for (let index = 0; index < frames; index++) {
        const sample = samples[random(samples.length)]!;
        const length = new DataView(sample.buffer).getUint32(0, true);
        const payload = damaged(random, sample.subarray(16, 16 + length));
        const type = random(8) === 0 ? types[random(types.length)]! : sample[4]!;
        const found = outcome(() => decodeFrame({ type, flags: random(2), payload }));
        seen[found] = (seen[found] ?? 0) + 1;
      }
      // A fuzzer that never gets through, or always, tests nothing.
      expect(Object.keys(seen).sort()).toContain("BAD_MESSAGE");
      expect(seen["decoded"]! / frames).toBeGreaterThan(0.05);
      expect(seen["BAD_MESSAGE"]! / frames).toBeGreaterThan(0.3);
    },
    timeoutMs,
  );

  test(
    "streams: damaged bytes never pass as a frame, and hold no more memory than arrived",
    () => {
      const random = randomOf(seed + 1);
      const streams = Math.ceil(frames / 40);
      let faults = 0;
      for (let index = 0; index < streams; index++) {
        const whole = joined(Array.from({ length: 1 + random(3) }, () => samples[random(samples.length)]!));
        const original = Buffer.from(whole);
        const stream = whole.slice();
        const at = random(stream.length);
        stream[at]! ^= 1 << random(8);
        if (random(4) === 0) forgeHeader(random, stream);
        const framer = new Framer(crc32c);
        for (let from = 0; from < stream.length;) {
          const end = from + 1 + random(random(2) === 0 ? 8 : 300);
          framer.push(stream.slice(from, end));
          from = end;
          let next = framer.next();
          while (next !== null && !(next instanceof ProtocolFault)) {
            expect(original.includes(next.payload)).toBeTrue();
            next = framer.next();
          }
          expect(framer.capacityBytes).toBeLessThanOrEqual(2 * framer.heldBytes + 1024);
          if (next !== null) faults++;
        }
      }
      expect(faults / streams).toBeGreaterThan(0.9);
    },
    timeoutMs,
  );

  test(
    "rubbish with right checksums gets through the framer, and no further than the decoder",
    () => {
      const random = randomOf(seed + 2);
      for (let index = 0; index < frames / 20; index++) {
        const payload = Uint8Array.from({ length: random(120) }, () => random(256));
        const framer = new Framer(crc32c);
        framer.push(joined(frame(crc32c, random(20), [payload])));
        const found = framer.next();
        if (found === null || found instanceof ProtocolFault) throw found ?? new Error("no frame");
        outcome(() => decodeFrame(found));
      }
    },
    timeoutMs,
  );
});

/** A header with any length and a right checksum. */
function forgeHeader(random: Random, stream: Uint8Array): void {
  const view = new DataView(stream.buffer);
  view.setUint32(0, edges[random(edges.length)]!, true);
  view.setUint32(12, crc32cRange(stream, 0, 12), true);
}
