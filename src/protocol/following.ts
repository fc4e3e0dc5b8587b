import { parseMeta } from "../array/meta.ts";
import { fail } from "../errors.ts";
import { addPart, leafCountOf } from "./assembly.ts";
import { decodeFrame, moment } from "./decode.ts";
import { ProtocolFault, refuse } from "./fault.ts";
import type {
  FollowerAction,
  FollowerEvent,
  FollowerOpen,
  FollowerStep,
  Following,
  LiveFollowing,
  SubscriptionRequest,
} from "./follower_state.ts";
import { encodeJson } from "./handshake.ts";
import { hashBytes, payloadBytesMax } from "./limits.ts";
import type { ErrorMessage, Frame, HashesMessage, SubscribedMessage, SubscribeMessage } from "./messages.ts";
import type { DeltaHead, DeltaPart } from "./part.ts";
import {
  closeByPeer,
  onHeard,
  onPing,
  onPong,
  onTick,
  onUnwritable,
  onWritable,
  remoteFault,
  skippedFrame,
} from "./session.ts";

type OpenStep = readonly [FollowerOpen, FollowerAction[]];

/** An open link, seen from the follower. */
export function openFollowerStep(state: FollowerOpen, event: FollowerEvent): FollowerStep {
  const { now } = event;
  switch (event.kind) {
    case "frame":
      return onFrame({ ...state, vitals: onHeard(state.vitals, now) }, event.frame, now);
    case "heard":
      return [{ ...state, vitals: onHeard(state.vitals, now) }, []];
    case "unwritable":
      return [{ ...state, vitals: onUnwritable(state.vitals) }, []];
    case "writable":
    case "tick": {
      const [vitals, actions] = event.kind === "tick" ? onTick(state.vitals, now) : onWritable(state.vitals);
      return [{ ...state, vitals }, actions];
    }
    case "subscribe":
      if (byKey(state, event.request.key) !== null) {
        fail("PROTOCOL", `Key ${event.request.key} is followed on this link already.`);
      }
      return ask(state, event.request, "none");
    case "unsubscribe": {
      const following = byKey(state, event.key);
      if (following === null) return [state, []];
      const { id } = following;
      return [without(state, id), [{ kind: "send", message: { type: "UNSUBSCRIBE", id } }]];
    }
    case "rate":
      return onRate(state, event.key, event.perSecond);
    case "applied":
      return onApplied(state, event);
    default:
      return [state, []];
  }
}

const open = moment("on an open link, coming from a publisher", "SUBSCRIBED", "DELTA", "PING", "PONG");

function onFrame(state: FollowerOpen, frame: Frame, now: number): FollowerStep {
  const message = decodeFrame(frame, open);
  switch (message?.type) {
    case "DELTA":
      return onDelta(state, message);
    case "PING":
    case "PONG": {
      const { type, opaque } = message;
      const [vitals, actions] =
        type === "PING" ? onPing(state.vitals, opaque) : onPong(state.vitals, opaque, now);
      return [{ ...state, vitals }, actions];
    }
    case "SUBSCRIBED":
      return onSubscribed(state, message);
    case "ERROR":
      return message.subscription === undefined ? closeByPeer(message) : onRefused(state, message);
    case "BYE":
      return closeByPeer(message);
    case undefined:
      return [state, [skippedFrame(frame)]];
  }
}

// Subscribing

function ask(state: FollowerOpen, request: SubscriptionRequest, mending: "none" | "full"): OpenStep {
  const id = state.lastId + 1;
  const { regions, mode, verify, maxRate, have } = request;
  const message: SubscribeMessage = { type: "SUBSCRIBE", id, regions, mode, verify, maxRate, have };
  const fault = objectionTo(message, request, state);
  if (fault !== null) return [state, [{ kind: "refused", key: request.key, fault }]];
  const next = put({ ...state, lastId: id }, { stage: "asked", id, request, mending });
  return [next, [{ kind: "send", message }]];
}

/** What the publisher has told that it will not give, or what one frame cannot hold, is not asked for: it would be for ever. */
function objectionTo(
  message: SubscribeMessage,
  { bytes }: SubscriptionRequest,
  { limits }: FollowerOpen,
): ProtocolFault | null {
  const { length } = message.regions;
  if (length > limits.regionsMax)
    return tooMuch(`${length} regions, and one subscription has at most ${limits.regionsMax}`);
  if (bytes > limits.subscriptionBytesMax)
    return tooMuch(`${bytes} bytes, and one subscription has at most ${limits.subscriptionBytesMax}`);
  const requestBytes = encodeJson(message).byteLength;
  if (requestBytes <= payloadBytesMax) return null;
  return tooMuch(
    `${length} regions, which take ${requestBytes} bytes to name, and a request has at most ${payloadBytesMax}`,
  );
}

function tooMuch(text: string): ProtocolFault {
  return new ProtocolFault(
    "UNSUPPORTED",
    `${text}: follow fewer, or larger ones, or arrays with shorter names.`,
  );
}

function onSubscribed(state: FollowerOpen, message: SubscribedMessage): OpenStep {
  const following = known(state, message.type, message.id);
  if (following === null) return [state, []];
  const { id, request, mending } = following;
  if (following.stage !== "asked") refuse("UNEXPECTED", `SUBSCRIBED for ${id}, which has been answered.`);
  if (message.incarnation !== state.incarnation) refuse("BAD_MESSAGE", "SUBSCRIBED: another incarnation.");
  if (message.bytes !== request.bytes) {
    const text = `The publisher counts ${message.bytes} bytes in these regions, this side ${request.bytes}.`;
    const actions: FollowerAction[] = [
      { kind: "send", message: { type: "UNSUBSCRIBE", id } },
      { kind: "refused", key: request.key, fault: new ProtocolFault("REGION", text) },
    ];
    return [without(state, id), actions];
  }
  const { resumed, version, reason = null } = message;
  const { have } = request;
  if (resumed && have?.incarnation !== state.incarnation) {
    refuse("BAD_MESSAGE", "SUBSCRIBED: it resumes from a state that was not offered.");
  }
  const received = resumed ? have!.version : null;
  return [
    put(state, { stage: "live", id, request, received, assembly: null, mending }),
    [{ kind: "subscribed", key: request.key, resumed, version, reason }],
  ];
}

function onRefused(state: FollowerOpen, message: ErrorMessage): OpenStep {
  const following = known(state, message.type, message.subscription!);
  if (following === null) return [state, []];
  const { id, request } = following;
  const fault = remoteFault(message);
  if (following.stage === "live" && request.mode === "every" && message.code === "LIMIT") {
    return onOverflow(state, following, fault);
  }
  return [without(state, id), [{ kind: "refused", key: request.key, fault }]];
}

/**
 * Too slow for every commit: one delta for all that was missed, and then every one again. Where nothing at all has come since this was
 * asked for, it would not help to ask at once: that is as good as a refusal.
 */
function onOverflow(state: FollowerOpen, following: LiveFollowing, fault: ProtocolFault): OpenStep {
  const { id, request, received, mending } = following;
  const { key } = request;
  // What was being mended is not known to be what it should be.
  const version = mending === "none" ? received : null;
  const report: FollowerAction = { kind: "report", report: { kind: "overflow", key, version } };
  if (received === null || received === request.have?.version)
    return [without(state, id), [{ kind: "refused", key, fault }, report]];
  const have = version === null ? null : { incarnation: state.incarnation, version };
  const [next, actions] = ask(without(state, id), { ...request, have }, mending === "none" ? "none" : "full");
  return [next, [report, ...actions]];
}

function onRate(state: FollowerOpen, key: number, perSecond: number | null): OpenStep {
  const following = byKey(state, key);
  if (following === null) return [state, []];
  const next = put(state, { ...following, request: { ...following.request, maxRate: perSecond } });
  return [next, [{ kind: "send", message: { type: "RATE", id: following.id, perSecond } }]];
}

// Deltas

function onDelta(state: FollowerOpen, part: DeltaPart): OpenStep {
  const following = known(state, part.type, part.subscription);
  if (following === null) {
    return [state, [{ kind: "report", report: { kind: "late", bytes: part.payloadBytes } }]];
  }
  const { request } = following;
  if (following.stage === "asked") return refuse("UNEXPECTED", "DELTA before SUBSCRIBED.");
  if (part.head !== undefined) checkHead(state, following, part.head);
  const result = addPart(following.assembly, part, request);
  if (result.kind === "partial") {
    const { assembly, chunks } = result;
    return [
      put(state, { ...following, assembly }),
      [{ kind: "part", key: request.key, head: part.head, chunks }],
    ];
  }
  const { delta } = result;
  const mending = delta.repair ? "repairArrived" : following.mending;
  return [
    put(state, { ...following, assembly: null, received: delta.to, mending }),
    [{ kind: "apply", key: request.key, delta }],
  ];
}

/** The rule of applying: a delta must start from what has been received, or be the full one or the repair that is due. */
function checkHead(state: FollowerOpen, following: LiveFollowing, head: DeltaHead): void {
  const { id, received, mending, request } = following;
  if (head.incarnation !== state.incarnation) {
    refuse("STALE_DELTA", `A delta for subscription ${id} is of another incarnation.`);
  }
  if (head.full !== (received === null) || (!head.full && head.from !== received)) {
    const what = head.full ? "is full" : `starts from version ${head.from}`;
    refuse("STALE_DELTA", `A delta for subscription ${id} ${what}; received is ${received ?? "nothing"}.`);
  }
  if (head.repair && mending !== "repairAsked") {
    refuse("UNEXPECTED", `A repair for subscription ${id} that was not asked for.`);
  }
  if (request.verify && head.root === undefined) {
    refuse("BAD_MESSAGE", "DELTA: it has no root, and the subscription is to be verified.");
  }
  if (head.meta !== undefined && !isJson(head.meta)) {
    refuse("BAD_MESSAGE", "DELTA: its metadata are not JSON in UTF-8.");
  }
}

/** Looked at here, because whose metadata are not taken over has them parsed by nobody until the user asks. */
function isJson(text: Uint8Array): boolean {
  try {
    parseMeta(text);
    return true;
  } catch {
    return false;
  }
}

function onApplied(state: FollowerOpen, event: FollowerEvent & { kind: "applied" }): OpenStep {
  const { delta, version, outcome } = event;
  const following = state.followings.get(delta.subscription);
  if (following?.stage !== "live") return [state, []];
  if (outcome.kind === "ok") return mended(state, following, delta);
  if (delta.full)
    refuse("MISMATCH", `Subscription ${following.id} differs from its root after a full delta.`);
  if (delta.repair) return askAnew(state, following, version);
  // Deltas that were under way when the repair was asked for cannot agree yet. However many there are, each costs what one that agrees does.
  if (following.mending !== "none") return [state, []];
  if (outcome.leafHashes === null) return askAnew(state, following, version);
  return askRepair(state, following, version, outcome.leafHashes());
}

function mended(state: FollowerOpen, following: LiveFollowing, delta: DeltaHead): OpenStep {
  const by = delta.repair ? "repair" : delta.full && following.mending === "full" ? "full" : null;
  if (by === null) return [state, []];
  const { key } = following.request;
  return [
    put(state, { ...following, mending: "none" }),
    [{ kind: "report", report: { kind: "mended", key, by } }],
  ];
}

function askRepair(
  state: FollowerOpen,
  following: LiveFollowing,
  version: number,
  leafHashes: Uint8Array,
): OpenStep {
  const { id, request } = following;
  const { key, bytes } = request;
  if (leafHashes.byteLength !== leafCountOf(bytes) * hashBytes) {
    fail(
      "PROTOCOL",
      `${leafHashes.byteLength} bytes are not the leaf hashes of a subscription of ${bytes} bytes.`,
    );
  }
  const actions: FollowerAction[] = [
    { kind: "report", report: { kind: "mismatch", key, version, asked: "repair" } },
  ];
  for (const message of hashesMessages(id, version, leafHashes)) actions.push({ kind: "send", message });
  return [put(state, { ...following, mending: "repairAsked" }), actions];
}

/** The subscription ends and begins anew under another number: what is still under way for the old one is ignored. */
function askAnew(state: FollowerOpen, following: LiveFollowing, version: number): OpenStep {
  const { id, request } = following;
  const [next, actions] = ask(without(state, id), { ...request, have: null }, "full");
  const report = { kind: "mismatch", key: request.key, version, asked: "full" } as const;
  return [
    next,
    [{ kind: "report", report }, { kind: "send", message: { type: "UNSUBSCRIBE", id } }, ...actions],
  ];
}

function* hashesMessages(subscription: number, version: number, all: Uint8Array): Generator<HashesMessage> {
  const step = Math.floor((payloadBytesMax - 32) / hashBytes) * hashBytes;
  for (let at = 0; at < all.byteLength; at += step) {
    const hashes = all.subarray(at, at + step);
    const about = { subscription, version, first: at === 0, last: at + step >= all.byteLength };
    yield { type: "HASHES", ...about, firstLeaf: at / hashBytes, hashes };
  }
}

function byKey(state: FollowerOpen, key: number): Following | null {
  for (const following of state.followings.values()) if (following.request.key === key) return following;
  return null;
}

/** Null: it has ended already, and the peer could not know. Throws if it was never made. */
function known(state: FollowerOpen, type: string, id: number): Following | null {
  if (id > state.lastId) refuse("UNEXPECTED", `${type} for subscription ${id}, which was never made.`);
  return state.followings.get(id) ?? null;
}

function put(state: FollowerOpen, following: Following): FollowerOpen {
  return { ...state, followings: new Map(state.followings).set(following.id, following) };
}

function without(state: FollowerOpen, id: number): FollowerOpen {
  const followings = new Map(state.followings);
  followings.delete(id);
  return { ...state, followings };
}
