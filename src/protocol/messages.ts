import type { DeltaPart } from "./part.ts";
import type { JsonMessage } from "./handshake.ts";

export type {
  AuthMessage,
  ByeMessage,
  ChallengeMessage,
  ErrorMessage,
  HelloMessage,
  JsonMessage,
  SubscribedMessage,
  SubscribeMessage,
  WelcomeMessage,
} from "./handshake.ts";

/** The type byte of a frame header. A number is never used again for something else. */
export const frameTypes = {
  HELLO: 1,
  CHALLENGE: 2,
  AUTH: 3,
  WELCOME: 4,
  SUBSCRIBE: 5,
  SUBSCRIBED: 6,
  UNSUBSCRIBE: 7,
  RATE: 8,
  DELTA: 9,
  HASHES: 10,
  PING: 11,
  PONG: 12,
  ERROR: 13,
  BYE: 14,
} as const;

export type FrameType = keyof typeof frameTypes;

/** Bit 0 of a frame's flags: a receiver that does not know the type must close the link instead of skipping the frame. */
export const criticalFlag = 1;

/** One frame off the wire, its checksums right. `payload` is a view (see Framer for its lifetime). */
export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly payload: Uint8Array;
}

/** The follower wants no more of this. What is under way may still arrive. */
export interface UnsubscribeMessage {
  readonly type: "UNSUBSCRIBE";
  readonly id: number;
}

/** Deliveries a second that the follower wants at most from now on; null is as fast as it goes. */
export interface RateMessage {
  readonly type: "RATE";
  readonly id: number;
  readonly perSecond: number | null;
}

/** A part of the list of leaf hashes of what the follower has of a subscription. */
export interface HashesMessage {
  readonly type: "HASHES";
  readonly subscription: number;
  readonly first: boolean;
  readonly last: boolean;
  /** The version the follower's bytes claim to be of. */
  readonly version: number;
  /** Index of the first leaf in this part. */
  readonly firstLeaf: number;
  /** 32 bytes a leaf; one leaf is 4096 bytes of the subscription, the last one what is left. */
  readonly hashes: Uint8Array;
}

/** `opaque` is 8 bytes that the answer repeats. */
export interface PingMessage {
  readonly type: "PING" | "PONG";
  readonly opaque: Uint8Array;
}

/** What a session asks its owner to send: all but the deltas, whose bytes the owner has. */
export type Message = JsonMessage | UnsubscribeMessage | RateMessage | HashesMessage | PingMessage;

/** What a frame can hold. */
export type Received = Message | DeltaPart;
