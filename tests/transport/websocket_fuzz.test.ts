import { expect, setDefaultTimeout, test } from "bun:test";
import { HeadReader, headBytesMax, HttpFault } from "../../src/transport/http_head.ts";
import { acceptUpgrade } from "../../src/transport/upgrade.ts";
import { FrameReader, maskedFrames, opcodes, WebSocketFault } from "../../src/transport/websocket_frames.ts";
import { Random, seed } from "./random.ts";

setDefaultTimeout(30_000);

const rounds = 20_000;

test(`whatever bytes come, the frame reader gives parts or a fault, and never more bytes than it got (seed ${seed})`, () => {
  const random = new Random();
  let faults = 0;
  for (let round = 0; round < rounds; round++) {
    const isMasked = random.between(0, 1) === 0;
    const reader = new FrameReader(isMasked);
    const bytes = random.bytes(random.between(1, 60));
    // Half of them begin right, so that more than the first byte is looked at.
    if (random.between(0, 1) === 0) bytes[0] = [0x82, 0x02, 0x89, 0x88, 0x8a, 0x80][random.between(0, 5)]!;
    let data = 0;
    try {
      for (let at = 0; at < bytes.length;) {
        const end = Math.min(bytes.length, at + random.between(1, 20));
        reader.push(bytes.slice(at, end));
        at = end;
        for (let part = reader.next(); part !== null; part = reader.next())
          if (part.kind !== "close") data += part.bytes.byteLength;
      }
    } catch (fault) {
      if (!(fault instanceof WebSocketFault)) throw fault;
      expect([1002, 1003, 1009]).toContain(fault.code);
      faults++;
    }
    expect(data).toBeLessThan(bytes.length);
  }
  expect(faults).toBeGreaterThan(rounds / 10);
  expect(faults).toBeLessThan(rounds);
});

test(`a flipped bit in a header never makes the reader run wild (seed ${seed})`, () => {
  const random = new Random();
  const payload = random.bytes(300);
  for (let bit = 0; bit < 8 * 8; bit++) {
    const frame = new Uint8Array(Buffer.concat(maskedFrames(opcodes.binary, [payload], payload.length)));
    frame[bit >> 3]! ^= 1 << (bit & 7);
    const reader = new FrameReader(true);
    reader.push(frame);
    try {
      let bytes = 0;
      for (let part = reader.next(); part !== null; part = reader.next())
        if (part.kind === "data") bytes += part.bytes.byteLength;
      expect(bytes).toBeLessThanOrEqual(payload.length);
    } catch (fault) {
      expect(fault).toBeInstanceOf(WebSocketFault);
    }
  }
});

const address = { kind: "ws", host: "127.0.0.1", port: 7012, path: "/" } as const;
const good =
  "GET / HTTP/1.1\r\nHost: localhost:7012\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

test(`whatever head comes, it is let in or refused with a status (seed ${seed})`, () => {
  const random = new Random();
  const outcomes = new Map<number, number>();
  for (let round = 0; round < rounds; round++) {
    const bytes = new TextEncoder().encode(good);
    for (let i = random.between(0, 3); i > 0; i--)
      bytes[random.between(0, bytes.length - 1)] = random.between(0, 255);
    let status = 0;
    try {
      const reader = new HeadReader();
      const cut = random.between(1, bytes.length - 1);
      const head = reader.push(bytes.slice(0, cut)) ?? reader.push(bytes.slice(cut));
      if (head) {
        acceptUpgrade(head, { address, origins: undefined, hosts: [] });
        status = 101;
      }
    } catch (fault) {
      if (!(fault instanceof HttpFault)) throw fault;
      status = fault.status;
    }
    outcomes.set(status, (outcomes.get(status) ?? 0) + 1);
  }
  for (const status of outcomes.keys()) expect([0, 101, 400, 403, 421, 426]).toContain(status);
  for (const status of [101, 400, 421, 426]) expect(outcomes.get(status)).toBeGreaterThan(0);
});

test("a head may come in any pieces, and what is behind it is kept", () => {
  const all = new TextEncoder().encode(`${good}rest`);
  for (let cut = 1; cut < all.length; cut++) {
    const reader = new HeadReader();
    const first = reader.push(all.slice(0, cut));
    const head = first ?? reader.push(all.slice(cut))!;
    expect(head.fields.get("host")).toBe("localhost:7012");
    const rest = first ? [...reader.rest, ...all.slice(cut)] : [...reader.rest];
    expect(new TextDecoder().decode(Uint8Array.from(rest))).toBe("rest");
  }
  const endless = new HeadReader();
  expect(() => endless.push(new Uint8Array(headBytesMax).fill(65))).toThrow(HttpFault);
});
