/**
 * Every number a peer is held to. Those that are constants are part of the format (WIRE.md); those in {@link Limits}
 * are a node's own choice, and a publisher tells them in WELCOME.
 */

export { metaTextBytesMax as metaBytesMax } from "../array/meta.ts";
export { nameCharactersMax } from "../array/schema.ts";
export { hashBytes, leafBytes } from "../integrity/merkle.ts";

/** The newest protocol this code speaks: [major, minor]. Majors must be equal, minors need not. */
export const protocolVersion: readonly [number, number] = [1, 0];

export const headerBytes = 16;

/** Payload limit before the handshake is over: a stranger can make us hold no more than this. */
export const handshakePayloadBytesMax = 16_384;

/** Payload limit of an open link; a longer delta or hash list goes in several frames. */
export const payloadBytesMax = 262_144;

/** A part of a delta or of a hash list that is not the last has at least this much payload: no flood of tiny parts. */
export const partBytesMin = 32_768;

/**
 * A delta may have a run for each stretch of the subscription, and for so many of its bytes one more: what describes the runs, 16 bytes
 * each, is then no more than what is subscribed.
 */
export const bytesOfRunMin = 16;

/** Payload limit of ERROR, BYE and SUBSCRIBED. */
export const noticePayloadBytesMax = 8_192;
/** Characters of a text meant for people; longer ones are cut. */
export const textCharactersMax = 1_024;
export const featuresMax = 32;
export const dimensionsMax = 8;

export interface Limits {
  /** From the opening of the link to the end of the handshake, ms. */
  readonly handshakeMs: number;
  /** A PING this often, ms; a peer that is silent for twice as long is dead. */
  readonly heartbeatMs: number;
  /** Open subscriptions on one link. */
  readonly subscriptionsMax: number;
  /** Regions in one subscription. */
  readonly regionsMax: number;
  /** Bytes under one subscription. */
  readonly subscriptionBytesMax: number;
  /** Control frames that may wait while the peer does not read. */
  readonly pendingFramesMax: number;
}

export const defaultLimits: Limits = Object.freeze({
  handshakeMs: 3_000,
  heartbeatMs: 5_000,
  subscriptionsMax: 256,
  regionsMax: 4_096,
  subscriptionBytesMax: 2 ** 40,
  pendingFramesMax: 1_024,
});
