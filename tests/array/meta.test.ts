import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  decodeMeta,
  encodeMeta,
  metaJson,
  parseMeta,
  writeMeta,
  writeMetaJson,
} from "../../src/array/meta.ts";
import { codeOf } from "./samples.ts";

const anyMeta = fc.oneof(fc.constant(undefined), fc.jsonValue({ maxDepth: 3 }));
const room = 4096;

describe("the metadata record", () => {
  test("is set in stone", () => {
    expect(Buffer.from(encodeMeta({ index: 4 }, 24)).toString("hex")).toBe(
      "0b00000000000000" + "7b22696e646578223a347d" + "0000000000",
    );
    expect(Buffer.from(encodeMeta(undefined, 8)).toString("hex")).toBe("0000000000000000");
  });

  test("gives back what was put in", () => {
    fc.assert(
      fc.property(anyMeta, (value) => {
        const record = encodeMeta(value, room);
        expect(record.length).toBe(room);
        const wanted = value === undefined ? undefined : JSON.parse(JSON.stringify(value));
        expect(decodeMeta(record)).toEqual(wanted);
        expect(parseMeta(metaJson(record))).toEqual(wanted);
      }),
    );
  });

  test("written in place is the one written anew, and only the reported bytes change", () => {
    fc.assert(
      fc.property(fc.array(anyMeta, { minLength: 1, maxLength: 5 }), fc.boolean(), (values, fromWire) => {
        const buffer = new Uint8Array(room + 32);
        const record = buffer.subarray(16, 16 + room);
        for (const value of values) {
          const before = record.slice();
          const fresh = encodeMeta(value, room);
          const written = fromWire ? writeMetaJson(record, metaJson(fresh)) : writeMeta(record, value);
          expect(record).toEqual(fresh);
          expect(record.subarray(written)).toEqual(before.subarray(written));
        }
        expect(buffer.subarray(0, 16).every((byte) => byte === 0)).toBe(true);
        expect(buffer.subarray(16 + room).every((byte) => byte === 0)).toBe(true);
      }),
    );
  });

  test("refuses what JSON cannot say, and what is too long, with nothing written", () => {
    const circular: Record<string, unknown> = {};
    circular["self"] = circular;
    const buffer = new ArrayBuffer(8);
    const empty = [new Map([[1, 2]]), new Set([1]), /x/, new Error("e"), Promise.resolve(1), buffer];
    for (const value of [5n, { deep: [1n] }, circular, () => 1, Symbol("s"), ...empty])
      expect(codeOf(() => encodeMeta(value, room))).toBe("INVALID_META");
    for (const value of [NaN, Infinity, new Float64Array(buffer), new DataView(buffer), new WeakMap()])
      expect(codeOf(() => encodeMeta(value, room))).toBe("INVALID_META");
    class Point {
      x = 1;
    }
    for (const value of [new Point(), new Date(0), Object.create(null), [new Map()], null, false, 0, ""])
      expect(decodeMeta(encodeMeta(value, room))).toEqual(JSON.parse(JSON.stringify(value)));
    expect(decodeMeta(encodeMeta("x".repeat(6), 16))).toBe("xxxxxx");
    const record = encodeMeta("old", 16);
    for (const long of ["x".repeat(7), "ä".repeat(4), "€€€"]) {
      expect(codeOf(() => writeMeta(record, long))).toBe("INVALID_META");
      expect(codeOf(() => writeMetaJson(record, new TextEncoder().encode(JSON.stringify(long))))).toBe(
        "INVALID_META",
      );
      expect(decodeMeta(record)).toBe("old");
    }
    expect(() => encodeMeta("x".repeat(20), 16)).toThrow(
      "metadata of 22 bytes, room for 8; raise the option metaBytesMax to 30",
    );
    expect(() => encodeMeta("x".repeat(65_534), room)).toThrow("raise the option metaBytesMax to 65544");
    expect(() => encodeMeta("x".repeat(65_535), room)).toThrow(
      "metadata of 65537 bytes, room for 4088; there can never be more than 65536: keep what is so large in an array",
    );
  });

  test("from outside is believed in nothing", () => {
    const record = (length: number, rest: number, text: string, bytes = 32): Uint8Array => {
      const out = new Uint8Array(bytes);
      new DataView(out.buffer).setUint32(0, length, true);
      new DataView(out.buffer).setUint32(4, rest, true);
      out.set(Buffer.from(text, "latin1"), 8);
      return out;
    };
    expect(decodeMeta(record(2, 0, "{}"))).toEqual({});
    expect(decodeMeta(record(24, 0, `"${"x".repeat(22)}"`))).toBe("x".repeat(22));
    const wrong = [
      record(25, 0, "{}"),
      record(0xffffffff, 0, "{}"),
      record(2, 1, "{}"),
      record(3, 0, "{}"),
      record(1, 0, "{}"),
      record(4, 0, '"\xff\xfe"'),
      record(5, 0, "\xef\xbb\xbf{}"),
      record(4, 0, "NaN "),
      new Uint8Array(7),
    ];
    for (const bytes of wrong) expect(codeOf(() => decodeMeta(bytes))).toBe("FORMAT");
    expect(codeOf(() => writeMetaJson(encodeMeta("old", 16), Buffer.from("{")))).toBe("FORMAT");
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        expect(["FORMAT", "nothing was thrown"]).toContain(codeOf(() => decodeMeta(bytes)));
      }),
    );
  });

  test("a text nested a million deep is an answer, not a crash", () => {
    const deep = Buffer.from("[".repeat(1e6));
    expect(codeOf(() => parseMeta(deep))).toBe("FORMAT");
  });
});
