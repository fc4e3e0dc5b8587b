import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { crc32c } from "../../src/protocol/crc32c.ts";
import { decodeFrame } from "../../src/protocol/decode.ts";
import { encodeMessage, frame } from "../../src/protocol/encode.ts";
import { type FaultCode, ProtocolFault } from "../../src/protocol/fault.ts";
import { Framer } from "../../src/protocol/framer.ts";
import { payloadBytesMax } from "../../src/protocol/limits.ts";
import { criticalFlag, type FrameType, frameTypes, type Message } from "../../src/protocol/messages.ts";
import { joined } from "./bytes.ts";

const hex = (bytes: number) => fc.stringMatching(new RegExp(`^[0-9a-f]{${2 * bytes}}$`), { size: "max" });
const name = fc.string({ minLength: 1, maxLength: 20 }).filter((text) => !/\p{C}/u.test(text));
const id = fc.integer({ min: 1, max: 2 ** 32 - 1 });
const version = fc.maxSafeNat();
const u16 = fc.integer({ min: 0, max: 65_535 });
const protocol = fc.tuple(fc.constant(1), u16);
const features = fc.array(name, { maxLength: 3 });
const text = name;
const have = fc.option(fc.record({ incarnation: hex(16), version }));
const maxRate = fc.option(fc.double({ min: 1e-3, max: 1e6, noNaN: true }));
const region = fc.integer({ min: 0, max: 8 }).chain((dimensions) =>
  fc.record({
    array: fc.option(name),
    start: fc.array(fc.integer({ min: 0, max: 2 ** 32 - 1 }), {
      minLength: dimensions,
      maxLength: dimensions,
    }),
    shape: fc.array(id, { minLength: dimensions, maxLength: dimensions }),
  }),
);
const flag = fc.boolean();
const opaque = fc.uint8Array({ minLength: 8, maxLength: 8 });
const hashes = fc
  .integer({ min: 0, max: 9 })
  .chain((leaves) => fc.uint8Array({ minLength: 32 * leaves, maxLength: 32 * leaves }));

const is = <T extends FrameType>(type: T) => fc.constant(type);
const messages: fc.Arbitrary<Message> = fc.oneof(
  fc.record({
    type: is("HELLO"),
    magic: fc.constant("memblast" as const),
    protocol,
    node: name,
    nodeId: hex(16),
    features,
  }),
  fc.record({
    type: is("CHALLENGE"),
    protocol,
    node: name,
    nodeId: hex(16),
    auth: name,
    nonce: hex(32),
    features,
  }),
  fc.record(
    { type: is("AUTH"), keyId: name, mac: hex(32), nonce: hex(32) },
    { requiredKeys: ["type", "nonce"] },
  ),
  fc.record({
    type: is("WELCOME"),
    incarnation: hex(16),
    version,
    schema: fc.string({ unit: "binary" }).filter((value) => value.isWellFormed()),
    heartbeatMs: fc.integer({ min: 10, max: 3_600_000 }),
    limits: fc.record({ subscriptionsMax: version, regionsMax: version, subscriptionBytesMax: version }),
  }),
  fc.record({
    type: is("SUBSCRIBE"),
    id,
    regions: fc.array(region, { minLength: 1, maxLength: 4 }),
    mode: fc.constantFrom("latest" as const, "every" as const),
    verify: flag,
    maxRate,
    have,
  }),
  fc.record(
    {
      type: is("SUBSCRIBED"),
      id,
      incarnation: hex(16),
      version,
      bytes: version,
      resumed: flag,
      reason: text,
    },
    { requiredKeys: ["type", "id", "incarnation", "version", "bytes", "resumed"] },
  ),
  fc.record({ type: is("UNSUBSCRIBE"), id }),
  fc.record({ type: is("RATE"), id, perSecond: maxRate }),
  fc.record({
    type: is("HASHES"),
    subscription: id,
    first: flag,
    last: flag,
    version,
    firstLeaf: version,
    hashes,
  }),
  fc.record({ type: fc.constantFrom("PING" as const, "PONG" as const), opaque }),
  fc.record(
    { type: is("ERROR"), code: name, text, subscription: id },
    { requiredKeys: ["type", "code", "text"] },
  ),
  fc.record({ type: is("BYE"), reason: text, retryAfterMs: u16 }, { requiredKeys: ["type", "reason"] }),
);

function through(views: readonly Uint8Array[]) {
  const framer = new Framer(crc32c);
  framer.limitPayload(payloadBytesMax);
  framer.push(joined(views));
  return framer.next();
}

function codeOf(type: FrameType, payload: string | Uint8Array): FaultCode | null {
  const bytes = typeof payload === "string" ? new TextEncoder().encode(payload) : payload;
  try {
    decodeFrame({ type: frameTypes[type], flags: 0, payload: bytes });
    return null;
  } catch (fault) {
    if (fault instanceof ProtocolFault) return fault.code;
    throw fault;
  }
}

describe("messages", () => {
  test("every message survives encoding and decoding", () => {
    fc.assert(
      fc.property(messages, (message) => {
        const found = through(encodeMessage(crc32c, message));
        if (found === null || found instanceof ProtocolFault) throw found ?? new Error("no frame");
        expect(decodeFrame(found)).toEqual(message);
      }),
      { numRuns: 600, seed: 20_260_103 },
    );
  });

  test("keys of a later version are ignored", () => {
    const bye = JSON.stringify({ reason: "x", colour: "red", __proto__: { a: 1 }, constructor: 1 });
    const payload = new TextEncoder().encode(bye);
    expect(decodeFrame({ type: frameTypes.BYE, flags: 0, payload })).toEqual({ type: "BYE", reason: "x" });
  });

  test("unknown types: skipped, or not when critical", () => {
    const payload = new Uint8Array(3);
    for (const type of [0, 15, 255]) {
      expect(decodeFrame({ type, flags: 0, payload })).toBeNull();
      expect(() => decodeFrame({ type, flags: criticalFlag, payload })).toThrow("may not be skipped");
    }
  });

  test("texts are made fit for a terminal", () => {
    const payload = new TextEncoder().encode(
      JSON.stringify({ code: "LIMIT", text: `\u001b[2J${"é".repeat(2000)}` }),
    );
    const message = decodeFrame({ type: frameTypes.ERROR, flags: 0, payload });
    if (message?.type !== "ERROR") throw new Error("not an ERROR");
    expect(message.text).toStartWith(" [2Jé");
    expect(message.text.length).toBe(1024);
  });

  test("malformed JSON messages", () => {
    const hello = { magic: "memblast", protocol: [1, 0], node: "a", nodeId: "00".repeat(16), features: [] };
    const region = { array: null, start: [0], shape: [1] };
    const ask = { id: 1, regions: [region], mode: "latest", verify: false, maxRate: null, have: null };
    const bad: [FrameType, unknown, FaultCode][] = [
      ["HELLO", { ...hello, magic: "memblasT" }, "BAD_MESSAGE"],
      ["HELLO", { ...hello, nodeId: "0F".repeat(16) }, "BAD_MESSAGE"],
      ["HELLO", { ...hello, node: "a\nb" }, "BAD_MESSAGE"],
      ["HELLO", { ...hello, node: "" }, "BAD_MESSAGE"],
      ["HELLO", { ...hello, node: "n".repeat(129) }, "BAD_MESSAGE"],
      ["HELLO", { ...hello, protocol: [1] }, "BAD_MESSAGE"],
      ["HELLO", { ...hello, protocol: [2, 0], node: 7 }, "VERSION"],
      ["HELLO", { ...hello, protocol: [0, 9] }, "VERSION"],
      ["HELLO", { ...hello, features: Array(33).fill("f") }, "BAD_MESSAGE"],
      ["SUBSCRIBE", { ...ask, id: 0 }, "BAD_MESSAGE"],
      ["SUBSCRIBE", { ...ask, id: 2 ** 32 }, "BAD_MESSAGE"],
      ["SUBSCRIBE", { ...ask, regions: [] }, "BAD_MESSAGE"],
      ["SUBSCRIBE", { ...ask, regions: [{ ...region, start: [0, 0] }] }, "BAD_MESSAGE"],
      ["SUBSCRIBE", { ...ask, regions: [{ ...region, shape: [0] }] }, "BAD_MESSAGE"],
      ["SUBSCRIBE", { ...ask, regions: [{ ...region, start: [-1] }] }, "BAD_MESSAGE"],
      ["SUBSCRIBE", { ...ask, regions: [{ ...region, start: [1.5] }] }, "BAD_MESSAGE"],
      [
        "SUBSCRIBE",
        { ...ask, regions: [{ array: null, start: Array(9).fill(0), shape: Array(9).fill(1) }] },
        "BAD_MESSAGE",
      ],
      ["SUBSCRIBE", { ...ask, mode: "all" }, "BAD_MESSAGE"],
      ["SUBSCRIBE", { ...ask, maxRate: 0 }, "BAD_MESSAGE"],
      ["SUBSCRIBE", { ...ask, maxRate: 1e7 }, "BAD_MESSAGE"],
      ["SUBSCRIBE", { ...ask, have: { incarnation: "00".repeat(16), version: 2 ** 53 } }, "BAD_MESSAGE"],
      ["BYE", { reason: "x", retryAfterMs: -1 }, "BAD_MESSAGE"],
      ["BYE", [], "BAD_MESSAGE"],
      ["BYE", null, "BAD_MESSAGE"],
      ["ERROR", { code: "LIMIT", text: "x".repeat(9000) }, "TOO_LONG"],
    ];
    for (const [type, value, code] of bad)
      expect([value, codeOf(type, JSON.stringify(value))]).toEqual([value, code]);
    expect(codeOf("HELLO", "")).toBe("BAD_MESSAGE");
    expect(codeOf("HELLO", "{")).toBe("BAD_MESSAGE");
    expect(codeOf("HELLO", Uint8Array.of(0x22, 0xff, 0x22))).toBe("BAD_MESSAGE");
    expect(codeOf("SUBSCRIBE", "[".repeat(payloadBytesMax))).toBe("BAD_MESSAGE");
    expect(codeOf("SUBSCRIBE", `{"regions":${'{"a":'.repeat(40_000)}1${"}".repeat(40_000)}}`)).toBe(
      "BAD_MESSAGE",
    );
  });

  test("a long list that is wrong all through costs little more than to read it", () => {
    const long = (of: string, start: string, end: string) =>
      `{"id":1,"mode":"latest","verify":false,"maxRate":null,"have":null,${start}${`${of},`.repeat(60_000)}${of}${end}}`;
    const ask = (of: string) => long(of, '"regions":[', "]");
    for (const text of [
      ask("0"),
      ask("{}"),
      long('""', '"regions":[{"array":null,"shape":[1],"start":[', "]}]"),
    ]) {
      const bytes = new TextEncoder().encode(text);
      const best = (action: () => void) =>
        Math.min(
          ...Array.from({ length: 5 }, () => {
            const begun = performance.now();
            action();
            return performance.now() - begun;
          }),
        );
      const readMs = best(() => JSON.parse(new TextDecoder().decode(bytes)));
      const judgedMs = best(() => expect(codeOf("SUBSCRIBE", bytes)).toBe("BAD_MESSAGE"));
      expect(judgedMs / readMs).toBeLessThan(8);
    }
  });

  test("what is wrong in a list is named", () => {
    const region = { array: null, start: [0], shape: [1] };
    const ask = { id: 1, mode: "latest", verify: false, maxRate: null, have: null };
    const payload = (regions: unknown) => new TextEncoder().encode(JSON.stringify({ ...ask, regions }));
    const of = (regions: unknown) => () =>
      decodeFrame({ type: frameTypes.SUBSCRIBE, flags: 0, payload: payload(regions) });
    expect(of([region, { ...region, array: 5 }])).toThrow("SUBSCRIBE: regions.1.array is not");
    expect(of([region, region, { ...region, start: 5 }])).toThrow("SUBSCRIBE: regions.2.start is not");
    expect(of(5)).toThrow("SUBSCRIBE: regions is not");
  });

  test("malformed binary messages", () => {
    const bytes = (...words: number[]) => new Uint8Array(Uint32Array.from(words).buffer);
    expect(codeOf("PING", new Uint8Array(7))).toBe("BAD_MESSAGE");
    expect(codeOf("PONG", new Uint8Array(9))).toBe("BAD_MESSAGE");
    expect(codeOf("UNSUBSCRIBE", new Uint8Array(0))).toBe("BAD_MESSAGE");
    expect(codeOf("UNSUBSCRIBE", new Uint8Array(5))).toBe("BAD_MESSAGE");
    expect(codeOf("RATE", bytes(1, 1, 0, 0))).toBe("BAD_MESSAGE"); // reserved word
    expect(codeOf("RATE", bytes(1, 0, 0, 0x7ff80000))).toBe("BAD_MESSAGE"); // NaN
    expect(codeOf("RATE", bytes(1, 0, 0, 0x7ff00000))).toBe("BAD_MESSAGE"); // infinite
    expect(codeOf("RATE", bytes(1, 0, 0, 0xbff00000))).toBe("BAD_MESSAGE"); // -1
    expect(codeOf("RATE", bytes(1, 0, 0, 0))).toBeNull();
    expect(codeOf("HASHES", bytes(1, 3, 4096, 0, 0, 0, 0, 0))).toBeNull();
    expect(codeOf("HASHES", bytes(1, 3, 4096, 1, 0, 0, 0, 0))).toBe("BAD_MESSAGE"); // no hash there
    expect(codeOf("HASHES", bytes(1, 3, 4096, 0x08000000, 0, 0, 0, 0))).toBe("BAD_MESSAGE"); // * 32 wraps in 32 bits
    expect(codeOf("HASHES", bytes(1, 3, 8192, 0, 0, 0, 0, 0))).toBe("BAD_MESSAGE");
    expect(codeOf("HASHES", bytes(1, 4, 4096, 0, 0, 0, 0, 0))).toBe("BAD_MESSAGE");
    expect(codeOf("HASHES", bytes(1, 3, 4096, 0, 0, 0x200000, 0, 0))).toBe("BAD_MESSAGE"); // 2^53
    expect(codeOf("HASHES", bytes(1, 3, 4096, 0, 0xffffffff, 0x1fffff, 0, 0))).toBeNull(); // 2^53 - 1
  });

  test("a message too large for a frame is our own mistake", () => {
    const limits = { subscriptionsMax: 1, regionsMax: 1, subscriptionBytesMax: 1 };
    const schema = "x".repeat(payloadBytesMax);
    const about = { incarnation: "00".repeat(16), version: 0, schema, heartbeatMs: 10, limits };
    expect(() => encodeMessage(crc32c, { type: "WELCOME", ...about })).toThrow("above the protocol");
    expect(() => frame(crc32c, 1, [new Uint8Array(payloadBytesMax)])).not.toThrow();
  });
});
