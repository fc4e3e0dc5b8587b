import { decodeFrame, moment } from "./decode.ts";
import {
  begin,
  collect,
  delivered,
  type DeliveryAction,
  dueAt,
  gapOf,
  live,
  type LiveSubscription,
  resumable,
  skipped,
  type Subscription,
} from "./delivery.ts";
import { ProtocolFault, refuse } from "./fault.ts";
import { numberOf } from "./heartbeat.ts";
import { textCharactersMax } from "./limits.ts";
import type { Frame, HashesMessage, RateMessage, SubscribeMessage } from "./messages.ts";
import type { PublisherAction, PublisherEvent, PublisherOpen, PublisherStep } from "./publisher_state.ts";
import {
  closeByPeer,
  errorMessage,
  onHeard,
  onMark,
  onPing,
  onPong,
  onTick,
  onUnwritable,
  onWritable,
  skippedFrame,
} from "./session.ts";
import { isMarkDue, isOpen, oneMore, reachedBy, readUntil, withMark } from "./window.ts";

type OpenStep = readonly [PublisherOpen, PublisherAction[]];

/** An open link, seen from the publisher. */
export function openPublisherStep(state: PublisherOpen, event: PublisherEvent): PublisherStep {
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
      const [next, deliveries] = sweep({ ...state, vitals }, now, null);
      return [next, [...actions, ...deliveries]];
    }
    case "committed": {
      const version = Math.max(state.version, event.version);
      const concern = (subscription: LiveSubscription) =>
        subscription.newest === version ? subscription : { ...subscription, newest: version };
      return sweep({ ...state, version }, now, event.subscriptions ?? null, concern);
    }
    case "deltaSent":
      return onDeltaSent(state, event.subscription, event.to, now);
    case "nothingToSend":
      return sweep(state, now, [event.subscription], (subscription) => skipped(subscription, event.version));
    case "subscriptionAccepted":
      return onAccepted(state, event);
    case "subscriptionRefused":
      return [ended(state, event.subscription), refusal(state, event.subscription, event.fault)];
    default:
      return [state, []];
  }
}

const open = moment(
  "on an open link, coming from a follower",
  "SUBSCRIBE",
  "UNSUBSCRIBE",
  "RATE",
  "HASHES",
  "PING",
  "PONG",
);

function onFrame(state: PublisherOpen, frame: Frame, now: number): PublisherStep {
  const message = decodeFrame(frame, open);
  switch (message?.type) {
    case "ERROR":
    case "BYE":
      return closeByPeer(message);
    case "PING": {
      const [vitals, actions] = onPing(state.vitals, message.opaque);
      return [{ ...state, vitals }, actions];
    }
    case "PONG":
      return onRead(state, message.opaque, now);
    case "SUBSCRIBE":
      return onSubscribe(state, message);
    case "UNSUBSCRIBE":
      known(state, message.type, message.id);
      return [without(state, message.id), [{ kind: "unsubscribed", subscription: message.id }]];
    case "RATE":
      return onRate(state, message, now);
    case "HASHES":
      return onHashes(state, message, now);
    case undefined:
      return [state, [skippedFrame(frame)]];
  }
}

function onSubscribe(state: PublisherOpen, request: SubscribeMessage): PublisherStep {
  const { config, subscriptions, lastId, version } = state;
  const { id } = request;
  if (id <= lastId) refuse("UNEXPECTED", `Subscription ${id} after ${lastId}: numbers only go up.`);
  const next: PublisherOpen = { ...state, lastId: id };
  const objection = objectionTo(request, subscriptions.size, config);
  if (objection !== null) {
    return [next, [{ kind: "send", message: errorMessage(objection.code, objection.message, id) }]];
  }
  const resume = resumable(request, config.incarnation, version);
  return [
    put(next, id, { stage: "asked", request }),
    [{ kind: "acceptSubscription", subscription: id, request, resume }],
  ];
}

function objectionTo(
  { regions, mode }: SubscribeMessage,
  subscriptions: number,
  { limits, modes = ["latest"] }: PublisherOpen["config"],
): ProtocolFault | null {
  const { subscriptionsMax, regionsMax } = limits;
  if (subscriptions >= subscriptionsMax) {
    return new ProtocolFault("LIMIT", `A link has at most ${subscriptionsMax} subscriptions here.`);
  }
  if (regions.length > regionsMax) {
    return new ProtocolFault(
      "UNSUPPORTED",
      `${regions.length} regions, at most ${regionsMax} fit one subscription here.`,
    );
  }
  if (!modes.includes(mode)) {
    return new ProtocolFault("UNSUPPORTED", `This node does not deliver in the mode "${mode}".`);
  }
  return null;
}

function onAccepted(
  state: PublisherOpen,
  event: Extract<PublisherEvent, { kind: "subscriptionAccepted" }>,
): OpenStep {
  const { subscription: id, bytes, now } = event;
  const asked = state.subscriptions.get(id);
  if (asked?.stage !== "asked") return [state, []];
  const { config, version, endedAt } = state;
  const { subscriptionBytesMax } = config.limits;
  if (bytes > subscriptionBytesMax) {
    const text = `${bytes} bytes, at most ${subscriptionBytesMax} fit one subscription here.`;
    return [without(state, id), refusal(state, id, new ProtocolFault("UNSUPPORTED", text))];
  }
  const from = event.resume === false ? null : resumable(asked.request, config.incarnation, version);
  const reason = event.reason ?? (from === null ? anewBecause(asked.request, config.incarnation) : undefined);
  const said = reason?.slice(0, textCharactersMax);
  const about = { id, incarnation: config.incarnation, version, bytes, resumed: from !== null, reason: said };
  const [next, actions] = sweep(put(state, id, live(asked.request, bytes, from, version, endedAt)), now, [
    id,
  ]);
  return [next, [{ kind: "send", message: { type: "SUBSCRIBED", ...about } }, ...actions]];
}

function anewBecause({ have }: SubscribeMessage, incarnation: string): string | undefined {
  if (have === null) return undefined;
  if (have.incarnation !== incarnation) return "another incarnation: versions cannot be compared";
  return "the version cannot be resumed from";
}

function onRate(state: PublisherOpen, { type, id, perSecond }: RateMessage, now: number): PublisherStep {
  const subscription = known(state, type, id);
  if (subscription?.stage === "asked") {
    const request = { ...subscription.request, maxRate: perSecond };
    return [put(state, id, { stage: "asked", request }), []];
  }
  return sweep(state, now, [id], (current) => ({ ...current, gapMs: gapOf(perSecond) }));
}

function onHashes(state: PublisherOpen, message: HashesMessage, now: number): PublisherStep {
  const { type, subscription: id, last, version } = message;
  if (known(state, type, id)?.stage === "asked") refuse("UNEXPECTED", "HASHES before SUBSCRIBED.");
  const [next, actions] = sweep(state, now, [id], (subscription) => collect(subscription, message));
  if (!last || next === state) return [next, actions];
  return [next, [{ kind: "report", report: { kind: "repairAsked", subscription: id, version } }, ...actions]];
}

/** What was sent before the PING that this answers has been read: there may be room in the window again. */
function onRead(state: PublisherOpen, opaque: Uint8Array, now: number): OpenStep {
  const mark = reachedBy(state.window, numberOf(state.vitals.life, opaque));
  const [vitals, reports] = onPong(state.vitals, opaque, now);
  if (mark === undefined) return [{ ...state, vitals }, reports];
  // With one PING after the other it is hardly ever the newest that is answered.
  const report: PublisherAction = { kind: "report", report: { kind: "roundTrip", ms: now - mark.at } };
  const [next, deliveries] = sweep({ ...state, vitals, window: readUntil(state.window, mark) }, now, null);
  return [next, [report, ...deliveries]];
}

function onDeltaSent(before: PublisherOpen, id: number, to: number, now: number): OpenStep {
  const subscription = before.subscriptions.get(id);
  if (subscription?.stage !== "live") return [before, []];
  if (subscription.mode === "every") return onDelivered(before, subscription, to, now);
  const [state, marks] = marked({ ...before, window: oneMore(before.window) }, now);
  const [next, actions] = onDelivered(state, subscription, to, now);
  return [next, [...marks, ...actions]];
}

function marked(state: PublisherOpen, now: number): OpenStep {
  if (!isMarkDue(state.window)) return [state, []];
  const [vitals, actions] = onMark(state.vitals, now);
  return [{ ...state, vitals, window: withMark(state.window, vitals.life.pings, now) }, actions];
}

function onDelivered(state: PublisherOpen, before: LiveSubscription, to: number, now: number): OpenStep {
  const { id } = before;
  const [next, actions] = sweep(state, now, [id], (subscription) => delivered(subscription, to));
  const versions = before.sent === null || before.mode === "every" ? 0 : to - before.sent - 1;
  if (versions <= 0) return [next, actions];
  return [next, [{ kind: "report", report: { kind: "conflated", subscription: id, versions } }, ...actions]];
}

/** Changes the named subscriptions (null: all) and begins every delivery that is due. */
function sweep(
  state: PublisherOpen,
  now: number,
  ids: Iterable<number> | null,
  change?: (subscription: LiveSubscription) => LiveSubscription,
): readonly [PublisherOpen, DeliveryAction[]] {
  const actions: DeliveryAction[] = [];
  const free = state.vitals.outlet.kind === "free";
  const hasRoom = isOpen(state.window);
  let changed: Map<number, Subscription> | null = null;
  for (const id of ids ?? state.subscriptions.keys()) {
    const before = state.subscriptions.get(id);
    if (before?.stage !== "live") continue;
    let after = change === undefined ? before : change(before);
    const due = free ? dueAt(after, hasRoom) : null;
    if (due !== null && due <= now) {
      const [begun, action] = begin(after, now);
      after = begun;
      actions.push(action);
    }
    if (after === before) continue;
    changed ??= new Map(state.subscriptions);
    changed.set(id, after);
  }
  return [changed === null ? state : { ...state, subscriptions: changed }, actions];
}

/** Null: it has ended already, and the peer could not know. Throws if the peer never made it. */
function known(state: PublisherOpen, type: string, id: number): Subscription | null {
  if (id > state.lastId) refuse("UNEXPECTED", `${type} for subscription ${id}, which was never made.`);
  return state.subscriptions.get(id) ?? null;
}

function put(state: PublisherOpen, id: number, subscription: Subscription): PublisherOpen {
  return { ...state, subscriptions: new Map(state.subscriptions).set(id, subscription) };
}

function without(state: PublisherOpen, id: number): PublisherOpen {
  if (!state.subscriptions.has(id)) return state;
  const subscriptions = new Map(state.subscriptions);
  subscriptions.delete(id);
  return { ...state, subscriptions };
}

/** A subscription that this side ends is often asked for anew at once: that does not let it go faster than its rate. */
function ended(state: PublisherOpen, id: number): PublisherOpen {
  const subscription = state.subscriptions.get(id);
  const endedAt = subscription?.stage === "live" ? subscription.startedAt : state.endedAt;
  return { ...without(state, id), endedAt: Math.max(state.endedAt, endedAt) };
}

/** Tells the peer that one subscription ends, if it is there to be ended. */
function refusal(state: PublisherOpen, id: number, fault: ProtocolFault): PublisherAction[] {
  if (!state.subscriptions.has(id)) return [];
  return [{ kind: "send", message: errorMessage(fault.code, fault.message, id) }];
}
