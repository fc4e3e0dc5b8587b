import { crc32c } from "../../src/protocol/crc32c.ts";
import { deltaFrame, encodeDeltaPart, encodeMessage } from "../../src/protocol/encode.ts";
import { ProtocolFault } from "../../src/protocol/fault.ts";
import { newFollower, stepFollower } from "../../src/protocol/follower.ts";
import type {
  FollowerAction,
  FollowerConfig,
  FollowerEvent,
  FollowerState,
  SubscriptionRequest,
} from "../../src/protocol/follower_state.ts";
import { Framer } from "../../src/protocol/framer.ts";
import { defaultLimits, payloadBytesMax } from "../../src/protocol/limits.ts";
import type { Frame, HashesMessage, Message, SubscribeMessage } from "../../src/protocol/messages.ts";
import type { DeltaHead } from "../../src/protocol/part.ts";
import { newPublisher, stepPublisher } from "../../src/protocol/publisher.ts";
import type {
  PublisherAction,
  PublisherConfig,
  PublisherEvent,
  PublisherState,
} from "../../src/protocol/publisher_state.ts";
import { bytesOfRuns } from "../../src/protocol/split.ts";
import { joined } from "./bytes.ts";

export const incarnation = "ab".repeat(16);
export const publisherNonce = "22".repeat(32);
export const followerNonce = "11".repeat(32);

export const publisherConfig: PublisherConfig = {
  node: "prices",
  nodeId: "90".repeat(16),
  incarnation,
  schema: '{"arrays":[]}',
  auth: { kind: "none" },
  limits: defaultLimits,
};

export const followerConfig: FollowerConfig = {
  node: "viewer",
  nodeId: "f0".repeat(16),
  keyId: null,
  limits: defaultLimits,
};

/** A message as the other side's framer gives it. */
export function frameOf(message: Message): Frame {
  return unframed(encodeMessage(crc32c, message));
}

export function unframed(views: readonly Uint8Array[]): Frame {
  const framer = new Framer(crc32c);
  framer.limitPayload(payloadBytesMax);
  framer.push(joined(views));
  const frame = framer.next();
  if (frame === null || frame instanceof ProtocolFault) throw frame ?? new Error("no frame");
  return frame;
}

/** A whole delta in one frame. */
export function deltaOf(
  subscription: number,
  head: Partial<DeltaHead>,
  pairs: readonly number[] = [],
): Frame {
  const runs = Float64Array.from(pairs);
  const totalBytes = bytesOfRuns(runs);
  const base = { incarnation, from: 0, to: 1, full: false, repair: false, meta: undefined, root: undefined };
  const content = {
    head: { ...base, totalBytes, ...head },
    last: true,
    runs,
    data: [new Uint8Array(totalBytes)],
  };
  return unframed(deltaFrame(subscription, encodeDeltaPart(crc32c, content)));
}

interface Session<S, E, A> {
  state: S;
  /** Everything done so far. */
  readonly done: A[];
  /** Tells an event, gives the actions that follow. States are frozen: a step that changes one throws. */
  tell(event: E): A[];
}

function session<S, E, A>(first: S, step: (state: S, event: E) => readonly [S, A[]]): Session<S, E, A> {
  const self: Session<S, E, A> = {
    state: frozen(first),
    done: [],
    tell(event) {
      const [next, actions] = step(self.state, event);
      self.state = frozen(next);
      self.done.push(...actions);
      return actions;
    },
  };
  return self;
}

function frozen<T>(value: T): T {
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value) || Object.isFrozen(value))
    return value;
  if (value instanceof Map) {
    for (const entry of value.values()) frozen(entry);
    value.set = value.delete = () => {
      throw new Error("a state is changed in place");
    };
    return value;
  }
  if (!(value instanceof Error)) Object.freeze(value);
  for (const field of Object.values(value)) frozen(field);
  return value;
}

export type PublisherTalk = Session<PublisherState, PublisherEvent, PublisherAction>;
export type FollowerTalk = Session<FollowerState, FollowerEvent, FollowerAction>;

export function publisher(config: Partial<PublisherConfig> = {}): PublisherTalk {
  return session(newPublisher({ ...publisherConfig, ...config }), stepPublisher);
}

export function follower(config: Partial<FollowerConfig> = {}): FollowerTalk {
  return session(newFollower({ ...followerConfig, ...config }), stepFollower);
}

/** A publisher with an open link, at version 5. */
export function openPublisher(config: Partial<PublisherConfig> = {}): PublisherTalk {
  const talk = publisher(config);
  talk.tell({ kind: "opened", nonce: publisherNonce, version: 5, now: 0 });
  const { node, nodeId } = followerConfig;
  const hello: Message = { type: "HELLO", magic: "memblast", protocol: [1, 0], node, nodeId, features: [] };
  talk.tell({ kind: "frame", frame: frameOf(hello), now: 0 });
  talk.tell({ kind: "frame", frame: frameOf({ type: "AUTH", nonce: followerNonce }), now: 0 });
  if (talk.state.phase !== "open") throw new Error("the publisher is not open");
  return talk;
}

/** A follower with an open link. */
export function openFollower(config: Partial<FollowerConfig> = {}): FollowerTalk {
  const talk = follower(config);
  talk.tell({ kind: "opened", nonce: followerNonce, now: 0 });
  const { node, nodeId } = publisherConfig;
  const about = {
    protocol: [1, 0] as const,
    node,
    nodeId,
    auth: "none",
    nonce: publisherNonce,
    features: [],
  };
  talk.tell({ kind: "frame", frame: frameOf({ type: "CHALLENGE", ...about }), now: 0 });
  const welcome = { incarnation, version: 5, schema: "{}", heartbeatMs: 5000, limits: welcomeLimits };
  talk.tell({ kind: "frame", frame: frameOf({ type: "WELCOME", ...welcome }), now: 0 });
  if (talk.state.phase !== "open") throw new Error("the follower is not open");
  return talk;
}

/** What the publisher of {@link openFollower} gives. */
export const welcomeLimits = { subscriptionsMax: 9, regionsMax: 5000, subscriptionBytesMax: 2 ** 40 };

export const ask: SubscribeMessage = {
  type: "SUBSCRIBE",
  id: 1,
  regions: [{ array: null, start: [0], shape: [100] }],
  mode: "latest",
  verify: true,
  maxRate: null,
  have: null,
};

/** The bytes 0 to 10,000: three leaves. */
export const request: SubscriptionRequest = {
  key: 7,
  regions: ask.regions,
  mode: "latest",
  verify: false,
  maxRate: null,
  have: null,
  bytes: 10_000,
  stretches: 1,
  inside: (offset, bytes) => offset + bytes <= 10_000,
};

/** Messages among the actions. */
export function sent(actions: readonly (PublisherAction | FollowerAction)[]): Message[] {
  return actions.flatMap((action) => (action.kind === "send" ? [action.message] : []));
}

export function kinds(actions: readonly { kind: string }[]): string[] {
  return actions.map((action) => action.kind);
}

/** How the link ended. */
export function ending(actions: readonly (PublisherAction | FollowerAction)[]): string {
  const close = actions.find((action) => action.kind === "close");
  if (close === undefined) return "not at all";
  const { cause } = close;
  if (cause.kind === "fault") return `${cause.by} ${cause.fault.code}`;
  return cause.kind === "bye" ? `${cause.by} bye` : "cut";
}

/** A publisher's link with one accepted subscription of 10,000 bytes; its first delta is being delivered. */
export function subscribed(about: Partial<SubscribeMessage> = {}): PublisherTalk {
  const talk = openPublisher();
  receive(talk, { ...ask, ...about }, 0);
  talk.tell({ kind: "subscriptionAccepted", subscription: about.id ?? 1, bytes: 10_000, now: 0 });
  return talk;
}

export function receive(talk: PublisherTalk, message: Message, now: number): PublisherAction[] {
  return talk.tell({ kind: "frame", frame: frameOf(message), now });
}

export const deliver = (from: number, full = false) => ({
  kind: "deliver" as const,
  subscription: 1,
  from,
  full,
});

/** The leaf hashes of the three leaves of such a subscription. */
export const hashes = (about: Partial<HashesMessage> = {}): HashesMessage => ({
  type: "HASHES",
  subscription: 1,
  first: true,
  last: true,
  version: 5,
  firstLeaf: 0,
  hashes: new Uint8Array(96).fill(7),
  ...about,
});
