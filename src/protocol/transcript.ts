import { bytesOfHex, Writer } from "./cursor.ts";

const label = new TextEncoder().encode("memblast auth v1"); // 16 bytes

/** What both sides know of each other when the proof is made. Hex as in the messages. */
export interface Transcript {
  readonly followerProtocol: readonly [number, number];
  readonly publisherProtocol: readonly [number, number];
  readonly followerId: string;
  readonly publisherId: string;
  readonly followerNonce: string;
  readonly publisherNonce: string;
  readonly keyId: string;
}

/**
 * The bytes that the follower signs: HMAC-SHA-256 over them, keyed with the shared secret, is the `mac` of AUTH. Both nonces
 * are in it, so that a recorded proof is worth nothing on another link. WIRE.md has the layout.
 */
export function authTranscript(about: Transcript): Uint8Array {
  const keyId = new TextEncoder().encode(about.keyId);
  const writer = new Writer(128 + keyId.byteLength).put(label);
  for (const number of [...about.followerProtocol, ...about.publisherProtocol]) writer.u32(number);
  writer.put(bytesOfHex(about.followerId)).put(bytesOfHex(about.publisherId));
  writer.put(bytesOfHex(about.followerNonce)).put(bytesOfHex(about.publisherNonce));
  return writer.put(keyId).bytes;
}
