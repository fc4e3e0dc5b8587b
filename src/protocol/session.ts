import { faultCodes, type FaultCode, ProtocolFault, refuse } from "./fault.ts";
import { printable } from "./handshake.ts";
import { answered, beat, type Heartbeat, heard, ping, pingBytes } from "./heartbeat.ts";
import { textCharactersMax } from "./limits.ts";
import type { ByeMessage, ErrorMessage, Frame, Message } from "./messages.ts";

/**
 * What the two sides of a link have in common. Publisher and follower are pure: `step(state, event)` gives the next state
 * and what the owner has to do, in this order. A step changes nothing it was given. `now` is a monotonic clock in ms.
 * The new state counts before the first action is carried out: what an action leads to (an answer, a link that closes) is a
 * new event, and steps on from there.
 */

export type LinkEvent =
  /** A frame from the framer. */
  | { readonly kind: "frame"; readonly frame: Frame; readonly now: number }
  /** The framer's fault, or one that the owner found (a name that is taken, say): the peer is told, the link ends. */
  | { readonly kind: "fault"; readonly fault: ProtocolFault; readonly now: number }
  /** Bytes arrived that did not complete a frame. Only needed on links so slow that one frame takes seconds. */
  | { readonly kind: "heard"; readonly now: number }
  /** The link has stopped taking bytes; it takes them again. */
  | { readonly kind: "unwritable"; readonly now: number }
  | { readonly kind: "writable"; readonly now: number }
  /** Wanted at the deadline; earlier or more often does no harm. */
  | { readonly kind: "tick"; readonly now: number }
  /** The owner wants to end the link in peace. */
  | {
      readonly kind: "closeRequested";
      readonly reason: string;
      readonly retryAfterMs?: number;
      readonly now: number;
    }
  /** The link is gone. */
  | { readonly kind: "linkClosed"; readonly now: number };

export type LinkAction =
  | { readonly kind: "send"; readonly message: Message }
  /** Give this to the framer before the next frame is taken from it. */
  | { readonly kind: "frameLimit"; readonly payloadBytesMax: number }
  /** Flush what was sent, then close. Nothing comes after it. */
  | { readonly kind: "close"; readonly cause: CloseCause }
  | { readonly kind: "report"; readonly report: LinkReport };

/** Things worth counting on either side. */
export type LinkReport =
  | { readonly kind: "roundTrip"; readonly ms: number }
  /** A frame of a type that this version does not know, and may skip. */
  | { readonly kind: "skipped"; readonly frameType: number };

/** Why a link ended. "us" and "peer" say who ended it. */
export type CloseCause =
  | { readonly kind: "fault"; readonly by: "us" | "peer"; readonly fault: ProtocolFault }
  | {
      readonly kind: "bye";
      readonly by: "us" | "peer";
      readonly reason: string;
      readonly retryAfterMs: number | null;
    }
  /** The link broke, or was closed without a word. */
  | { readonly kind: "cut" };

export interface Closed {
  readonly phase: "closed";
  readonly cause: CloseCause;
}

/** What a peer's ERROR says, as a fault of our own vocabulary. */
export function remoteFault(message: ErrorMessage): ProtocolFault {
  const known = faultCodes.find((code) => code === message.code);
  return new ProtocolFault(
    known ?? "REMOTE",
    known ? message.text : `${printable(message.code)}: ${message.text}`,
  );
}

export function errorMessage(code: FaultCode, text: string, subscription?: number): ErrorMessage {
  const short = text.slice(0, textCharactersMax);
  return { type: "ERROR", code, text: short, ...(subscription === undefined ? {} : { subscription }) };
}

export type LinkStep = readonly [Closed, LinkAction[]];

export function closeByFault(fault: ProtocolFault): LinkStep {
  const cause = { kind: "fault", by: "us", fault } as const;
  const message = errorMessage(fault.code, fault.message);
  return [
    { phase: "closed", cause },
    [
      { kind: "send", message },
      { kind: "close", cause },
    ],
  ];
}

export function closeByBye(reason: string, retryAfterMs: number | undefined): LinkStep {
  const cause = { kind: "bye", by: "us", reason, retryAfterMs: retryAfterMs ?? null } as const;
  const message: ByeMessage = {
    type: "BYE",
    reason: reason.slice(0, textCharactersMax),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  };
  return [
    { phase: "closed", cause },
    [
      { kind: "send", message },
      { kind: "close", cause },
    ],
  ];
}

/** The peer has said its last word. */
export function closeByPeer(message: ErrorMessage | ByeMessage): LinkStep {
  const cause: CloseCause =
    message.type === "ERROR"
      ? { kind: "fault", by: "peer", fault: remoteFault(message) }
      : { kind: "bye", by: "peer", reason: message.reason, retryAfterMs: message.retryAfterMs ?? null };
  return [{ phase: "closed", cause }, [{ kind: "close", cause }]];
}

/** The link is gone already: there is nobody to tell and nothing to close. */
export const cutState: Closed = Object.freeze({ phase: "closed", cause: Object.freeze({ kind: "cut" }) });

/**
 * Whether the link takes bytes. While it does not, what would be sent is counted, and a PONG waits here, the newest in the
 * place of the one before: a peer that asks and never reads makes us hold no more than the limit.
 */
export type Outlet =
  | { readonly kind: "free" }
  | { readonly kind: "blocked"; readonly pendingFrames: number; readonly pong: Uint8Array | null };

export const freeOutlet: Outlet = Object.freeze({ kind: "free" });
export const blockedOutlet: Outlet = Object.freeze({ kind: "blocked", pendingFrames: 0, pong: null });

/** What an open link keeps on either side. */
export interface Vitals {
  readonly life: Heartbeat;
  readonly outlet: Outlet;
}

export type VitalsStep = readonly [Vitals, LinkAction[]];

/** Answers a PING. */
export function onPing(vitals: Vitals, opaque: Uint8Array): VitalsStep {
  if (vitals.outlet.kind === "blocked") {
    return [{ ...vitals, outlet: { ...vitals.outlet, pong: opaque.slice() } }, []];
  }
  return [vitals, [{ kind: "send", message: { type: "PONG", opaque } }]];
}

export function onPong(vitals: Vitals, opaque: Uint8Array, now: number): VitalsStep {
  const { life, ms } = answered(vitals.life, opaque, now);
  return [{ ...vitals, life }, ms === null ? [] : [{ kind: "report", report: { kind: "roundTrip", ms } }]];
}

/** Throws TIMEOUT if the peer is dead. */
export function onTick(vitals: Vitals, now: number): VitalsStep {
  const result = beat(vitals.life, now);
  if (result.kind === "dead") {
    refuse("TIMEOUT", `Nothing was heard for ${2 * vitals.life.everyMs} ms: the peer is taken for dead.`);
  }
  const next = { ...vitals, life: result.life };
  return [next, result.kind === "quiet" ? [] : [pingAction(result.life)]];
}

/** A PING out of turn. */
export function onMark(vitals: Vitals, now: number): VitalsStep {
  const life = ping(vitals.life, now);
  return [{ ...vitals, life }, [pingAction(life)]];
}

function pingAction(life: Heartbeat): LinkAction {
  return { kind: "send", message: { type: "PING", opaque: pingBytes(life) } };
}

/** The link takes bytes again: an answer that waited goes first. */
export function onWritable(vitals: Vitals): VitalsStep {
  const next = { ...vitals, outlet: freeOutlet };
  if (vitals.outlet.kind === "free" || vitals.outlet.pong === null) return [next, []];
  return [next, [{ kind: "send", message: { type: "PONG", opaque: vitals.outlet.pong } }]];
}

export function onUnwritable(vitals: Vitals): Vitals {
  return vitals.outlet.kind === "blocked" ? vitals : { ...vitals, outlet: blockedOutlet };
}

export function onHeard(vitals: Vitals, now: number): Vitals {
  const life = heard(vitals.life, now);
  return life === vitals.life ? vitals : { ...vitals, life };
}

/** Counts what is sent to a link that takes nothing. Throws LIMIT when the peer has made us say too much. */
export function countPending(
  vitals: Vitals,
  actions: readonly { readonly kind: string }[],
  pendingFramesMax: number,
): Vitals {
  if (vitals.outlet.kind === "free" || actions.length === 0) return vitals;
  let pendingFrames = vitals.outlet.pendingFrames;
  for (const action of actions) if (action.kind === "send") pendingFrames++;
  if (pendingFrames > pendingFramesMax) {
    refuse("LIMIT", `More than ${pendingFramesMax} answers wait for a peer that does not read.`);
  }
  return { ...vitals, outlet: { ...vitals.outlet, pendingFrames } };
}

export function skippedFrame(frame: Frame): LinkAction {
  return { kind: "report", report: { kind: "skipped", frameType: frame.type } };
}
