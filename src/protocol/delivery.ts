import { fail } from "../errors.ts";
import { addHashes, type HashesAssembly } from "./assembly.ts";
import { refuse } from "./fault.ts";
import type { HashesMessage, SubscribeMessage } from "./messages.ts";

/**
 * One subscription as the publisher keeps it: a few numbers. Conflation is the comparison of two of them: there is
 * something to send if `newest` is above `sent`, however many commits lie in between.
 */
export type Subscription = AskedSubscription | LiveSubscription;

/** The owner has not decided yet. */
export interface AskedSubscription {
  readonly stage: "asked";
  readonly request: SubscribeMessage;
}

export interface LiveSubscription {
  readonly stage: "live";
  readonly id: number;
  /**
   * With "every" each commit is a delta of its own: the owner keeps those that wait, `deliver` is for the first of them, and `newest`
   * says that there are some.
   */
  readonly mode: SubscribeMessage["mode"];
  readonly verify: boolean;
  /** Bytes under it. */
  readonly bytes: number;
  /** Shortest time between two deliveries, ms; 0 = none. */
  readonly gapMs: number;
  /** The version to which the follower has been brought; null: it needs a full delta. */
  readonly sent: number | null;
  /** The newest commit that may concern it. */
  readonly newest: number;
  /** When the last delivery began. */
  readonly startedAt: number;
  /** At most one delta is under way; what is committed meanwhile goes with the next. */
  readonly flight: "none" | "delta" | "repair";
  readonly repair: Repair;
}

export type Repair =
  | { readonly kind: "none" }
  | { readonly kind: "collecting"; readonly hashes: HashesAssembly }
  | { readonly kind: "wanted"; readonly version: number; readonly leafHashes: Uint8Array };

export type DeliveryAction =
  /**
   * Gather what changed after `from` (everything if `full`), up to the newest version, and send it as one delta from
   * `from`. Then report `deltaSent`, or `nothingToSend` if no subscribed byte, no metadata and no root is to be told.
   */
  | { readonly kind: "deliver"; readonly subscription: number; readonly from: number; readonly full: boolean }
  /**
   * Send one repair delta from `from`: everything that changed after `version`, and every leaf whose hash is not the one
   * given (32 bytes a leaf). Then report `deltaSent`.
   */
  | {
      readonly kind: "repair";
      readonly subscription: number;
      readonly from: number;
      readonly version: number;
      readonly leafHashes: Uint8Array;
    };

const noRepair: Repair = Object.freeze({ kind: "none" });

/** The version from which a follower can go on, null if it must begin anew. */
export function resumable(request: SubscribeMessage, incarnation: string, version: number): number | null {
  const { have } = request;
  return have !== null && have.incarnation === incarnation && have.version <= version ? have.version : null;
}

export function live(
  request: SubscribeMessage,
  bytes: number,
  sent: number | null,
  newest: number,
  startedAt: number,
): LiveSubscription {
  return {
    stage: "live",
    id: request.id,
    mode: request.mode,
    verify: request.verify,
    bytes,
    gapMs: gapOf(request.maxRate),
    sent,
    newest,
    startedAt,
    flight: "none",
    repair: noRepair,
  };
}

export function gapOf(perSecond: number | null): number {
  return perSecond === null ? 0 : Math.min(1_000 / perSecond, Number.MAX_VALUE); // no infinity: it would come to NaN
}

/**
 * When the next delivery may begin; null: there is nothing to deliver, or one is under way, or there is no room for what can come together
 * with what comes later. A repair does not wait.
 */
export function dueAt(subscription: LiveSubscription, hasRoom: boolean): number | null {
  if (subscription.flight !== "none") return null;
  if (subscription.repair.kind === "wanted") return subscription.startedAt;
  const { sent, newest, mode } = subscription;
  if (mode === "latest" && !hasRoom) return null;
  return sent === null || newest > sent ? subscription.startedAt + subscription.gapMs : null;
}

/** Begins the delivery that is due. */
export function begin(subscription: LiveSubscription, now: number): [LiveSubscription, DeliveryAction] {
  const { id, sent, repair } = subscription;
  if (repair.kind === "wanted") {
    if (sent === null || repair.version > sent) {
      refuse("BAD_MESSAGE", `HASHES: version ${repair.version} was never sent.`);
    }
    const { version, leafHashes } = repair;
    // The hashes are the owner's now; an empty state would forget that a second list is not wanted before the answer.
    const next: LiveSubscription = { ...subscription, flight: "repair", startedAt: now, repair: noRepair };
    return [next, { kind: "repair", subscription: id, from: sent, version, leafHashes }];
  }
  const next: LiveSubscription = { ...subscription, flight: "delta", startedAt: now };
  return [next, { kind: "deliver", subscription: id, from: sent ?? 0, full: sent === null }];
}

export function delivered(subscription: LiveSubscription, to: number): LiveSubscription {
  if (subscription.flight === "none" || to < (subscription.sent ?? 0)) {
    fail("PROTOCOL", `Subscription ${subscription.id} reports a delta to ${to} that nobody asked for.`);
  }
  return { ...subscription, flight: "none", sent: to };
}

export function skipped(subscription: LiveSubscription, version: number): LiveSubscription {
  const { id, flight, sent, newest } = subscription;
  if (flight !== "delta" || sent === null) {
    fail("PROTOCOL", `Subscription ${id}: only a delta that is not full may be left out.`);
  }
  return { ...subscription, flight: "none", newest: newest > version ? newest : sent };
}

/** Adds a part of the follower's hashes. */
export function collect(subscription: LiveSubscription, message: HashesMessage): LiveSubscription {
  const { id, verify, repair, flight, bytes } = subscription;
  if (!verify || repair.kind === "wanted" || flight === "repair") {
    refuse(
      "UNEXPECTED",
      `HASHES for subscription ${id}, which is not being verified or is already being repaired.`,
    );
  }
  const result = addHashes(repair.kind === "collecting" ? repair.hashes : null, message, bytes);
  if (result.kind === "partial") {
    return { ...subscription, repair: { kind: "collecting", hashes: result.assembly } };
  }
  const { version, leafHashes } = result;
  return { ...subscription, repair: { kind: "wanted", version, leafHashes } };
}
