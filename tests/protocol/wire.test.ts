import { describe, expect, test } from "bun:test";
import { crc32c } from "../../src/protocol/crc32c.ts";
import { bytesOfHex, hexOf } from "../../src/protocol/cursor.ts";
import { decodeFrame } from "../../src/protocol/decode.ts";
import { deltaFrame, encodeDeltaPart, encodeMessage } from "../../src/protocol/encode.ts";
import { ProtocolFault } from "../../src/protocol/fault.ts";
import { Framer } from "../../src/protocol/framer.ts";
import type { AuthMessage, ChallengeMessage, HelloMessage } from "../../src/protocol/messages.ts";
import { authTranscript } from "../../src/protocol/transcript.ts";
import vectors from "../vectors/wire.json";
import { plain } from "./plain.ts";

const document = await Bun.file(new URL("../../src/protocol/WIRE.md", import.meta.url)).text();
const examples = new Map(
  [...document.matchAll(/```hex (\S+)\n([^`]*)```/g)].map(([, name, hex]) => [name, hex!.replace(/\s/g, "")]),
);

function onlyFrame(hex: string) {
  const framer = new Framer(crc32c);
  framer.limitPayload(262_144);
  framer.push(bytesOfHex(hex));
  const frame = framer.next();
  if (frame === null) throw new Error("the frame is not complete");
  if (frame instanceof ProtocolFault) throw frame;
  expect(framer.next()).toBeNull();
  return frame;
}

describe("the wire", () => {
  test("WIRE.md and the vectors show the same bytes", () => {
    const { frames, auth } = vectors;
    const all = new Map([
      ...frames.map(({ name, frame }) => [name, frame] as const),
      ["transcript", auth.transcript],
    ]);
    expect(Object.fromEntries(examples)).toEqual(Object.fromEntries(all));
  });

  test.each(vectors.frames)("$name", ({ frame, decoded }) => {
    const message = decodeFrame(onlyFrame(frame));
    if (message === null) throw new Error("an unknown frame");
    expect(plain(message)).toEqual(decoded);
    const { type } = message;
    const again =
      type === "DELTA"
        ? deltaFrame(
            message.subscription,
            encodeDeltaPart(crc32c, { ...message, head: message.head ?? null, data: [message.data] }),
          )
        : encodeMessage(crc32c, message);
    expect(again.map(hexOf).join("")).toBe(frame);
  });

  test.each(vectors.refused)("$name is refused", ({ frame, code }) => {
    let found: unknown;
    try {
      decodeFrame(onlyFrame(frame));
    } catch (fault) {
      found = fault;
    }
    expect(found).toBeInstanceOf(ProtocolFault);
    expect((found as ProtocolFault).code as string).toBe(code);
  });

  test("the proof", () => {
    const message = (name: string) => decodeFrame(onlyFrame(examples.get(name)!));
    const hello = message("hello") as HelloMessage;
    const challenge = message("challenge") as ChallengeMessage;
    const auth = message("auth") as AuthMessage;
    const transcript = authTranscript({
      followerProtocol: hello.protocol,
      publisherProtocol: challenge.protocol,
      followerId: hello.nodeId,
      publisherId: challenge.nodeId,
      followerNonce: auth.nonce,
      publisherNonce: challenge.nonce,
      keyId: auth.keyId!,
    });
    expect(hexOf(transcript)).toBe(vectors.auth.transcript);
    const mac = new Bun.CryptoHasher("sha256", vectors.auth.secret).update(transcript).digest("hex");
    expect(mac).toBe(auth.mac!);
  });
});
