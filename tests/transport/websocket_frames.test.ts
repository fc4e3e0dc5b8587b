import { describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  applyMask,
  framePayloadBytesMax,
  FrameReader,
  maskedFrames,
  messageBytesMax,
  opcodes,
  plainFrames,
  WebSocketFault,
} from "../../src/transport/websocket_frames.ts";
import { Random, seed } from "./random.ts";

setDefaultTimeout(30_000);

const hex = (text: string) => Uint8Array.fromHex(text.replaceAll(" ", ""));

/** What a reader makes of the bytes when they come in slices of these sizes: data joined, the rest one by one. */
function read(
  bytes: Uint8Array,
  isMasked: boolean,
  slice = () => bytes.length,
): { data: string; rest: string[] } {
  const reader = new FrameReader(isMasked);
  const data: Uint8Array[] = [];
  const rest: string[] = [];
  for (let at = 0; at < bytes.length;) {
    const end = Math.min(bytes.length, at + slice());
    reader.push(bytes.slice(at, end));
    at = end;
    try {
      for (let part = reader.next(); part !== null; part = reader.next()) {
        if (part.kind === "data") data.push(part.bytes);
        else rest.push(part.kind === "close" ? `close ${part.code}` : `${part.kind} ${part.bytes.toHex()}`);
      }
    } catch (fault) {
      if (!(fault instanceof WebSocketFault)) throw fault;
      rest.push(`fault ${fault.code}`);
      break;
    }
  }
  return { data: Buffer.concat(data).toString("hex"), rest };
}

describe("frames as RFC 6455 section 5.7 shows them, in binary", () => {
  test.each<[string, boolean, string, string, string[]]>([
    ["one unmasked frame", false, "82 05 48 65 6c 6c 6f", "48656c6c6f", []],
    ["one masked frame", true, "82 85 37 fa 21 3d 7f 9f 4d 51 58", "48656c6c6f", []],
    ["a message in two frames", false, "02 03 48 65 6c 80 02 6c 6f", "48656c6c6f", []],
    ["a ping between them", false, "02 03 48 65 6c 89 01 aa 80 02 6c 6f", "48656c6c6f", ["ping aa"]],
    ["a masked pong", true, "8a 85 37 fa 21 3d 7f 9f 4d 51 58", "", ["pong 48656c6c6f"]],
    ["empty frames", false, "82 00 02 00 00 00 80 00 82 01 07", "07", []],
    ["a close with a code", false, "88 02 03 e8", "", ["close 1000"]],
    ["a close without one", true, "88 80 00 00 00 00", "", ["close 1005"]],
    ["16 bits of length", false, `82 7e 00 7e ${"01".repeat(126)}`, "01".repeat(126), []],
  ])("%s", (_, isMasked, text, data, rest) => {
    expect(read(hex(text), isMasked)).toEqual({ data, rest });
    expect(read(hex(text), isMasked, () => 1)).toEqual({ data, rest });
  });

  test.each<[string, boolean, string, number]>([
    ["an extension's bit", false, "c2 00", 1002],
    ["a mask from the side that listens", false, "82 85 37 fa 21 3d", 1002],
    ["no mask from the side that dialled", true, "82 05 48", 1002],
    ["an unknown opcode", false, "83 00", 1002],
    ["an unknown control opcode", false, "8b 00", 1002],
    ["text", false, "81 01 61", 1003],
    ["a ping in parts", false, "09 00", 1002],
    ["a ping that is too long", false, "89 7e 00 7e", 1002],
    ["the middle of no message", false, "80 01 61", 1002],
    ["a message within a message", false, "02 01 61 82 01 62", 1002],
    ["a close code of one byte", false, "88 01 03", 1002],
    ["a length of 16 bits that fits 7", false, "82 7e 00 05", 1002],
    ["a length of 64 bits that fits 16", false, "82 7f 00 00 00 00 00 00 ff ff", 1002],
    ["2^63", false, "82 7f 80 00 00 00 00 00 00 00", 1009],
    ["2^64 - 1", false, "82 7f ff ff ff ff ff ff ff ff", 1009],
    ["2^53", false, "82 7f 00 20 00 00 00 00 00 00", 1009],
    [
      "one byte too many",
      false,
      `82 7f 00 00 00 00 ${(framePayloadBytesMax + 1).toString(16).padStart(8, "0")}`,
      1009,
    ],
  ])("refused: %s", (_, isMasked, text, code) => {
    for (const slice of [1, 100]) {
      expect(read(hex(text), isMasked, () => slice).rest).toEqual([`fault ${code}`]);
    }
  });
});

test(`what is framed on one side is read on the other, however it is sliced (seed ${seed})`, () => {
  const random = new Random();
  for (let round = 0; round < 150; round++) {
    const isMasked = round % 2 === 0;
    const frames: Uint8Array[] = [];
    const sent: Uint8Array[] = [];
    for (let i = random.between(1, 6); i > 0; i--) {
      const parts = Array.from({ length: random.between(1, 4) }, () =>
        random.bytes(random.between(0, random.between(0, 3) === 0 ? 70_000 : 300)),
      );
      const bytes = parts.reduce((sum, part) => sum + part.length, 0);
      frames.push(...(isMasked ? maskedFrames : plainFrames)(opcodes.binary, parts, bytes));
      sent.push(...parts);
    }
    const longest = random.between(1, 3) === 1 ? 8 : 40_000;
    const { data, rest } = read(new Uint8Array(Buffer.concat(frames)), isMasked, () =>
      random.between(1, longest),
    );
    expect(rest).toEqual([]);
    expect(data === Buffer.concat(sent).toString("hex")).toBe(true);
  }
});

test("a long write becomes messages of at most 1 MiB, and its payload is not copied", () => {
  const parts = [new Uint8Array(100), new Uint8Array(3 * messageBytesMax)];
  const bytes = 100 + 3 * messageBytesMax;
  const frames = plainFrames(opcodes.binary, parts, bytes);
  const headers = frames.filter((frame) => frame.byteLength <= 10);
  expect(headers).toHaveLength(4);
  for (const frame of frames) {
    if (frame.byteLength <= 10) continue;
    expect(parts.some((part) => part.buffer === frame.buffer)).toBe(true);
  }
});

test("masking word by word is masking byte by byte, at every alignment and phase", () => {
  const random = new Random();
  const key = Uint8Array.of(0x12, 0x34, 0x56, 0xf8);
  for (let offset = 0; offset < 4; offset++)
    for (let done = 0; done < 4; done++) {
      const bytes = random.bytes(203).subarray(offset);
      const expected = bytes.map((byte, i) => byte ^ key[(done + i) % 4]!);
      applyMask(bytes, key, done);
      expect(bytes).toEqual(expected);
    }
});
