import type { Assembly, Delta, DeltaLimits } from "./assembly.ts";
import type { ProtocolFault } from "./fault.ts";
import type { DeltaChunk, DeltaHead } from "./part.ts";
import type { Limits } from "./limits.ts";
import type { ChallengeMessage, SubscribeMessage, WelcomeMessage } from "./messages.ts";
import type { Closed, LinkAction, LinkEvent, LinkReport, Outlet, Vitals } from "./session.ts";

export interface FollowerConfig {
  readonly node: string;
  readonly nodeId: string;
  /** Names the secret this follower can prove to know; null: none. */
  readonly keyId: string | null;
  readonly limits: Limits;
}

/** What the owner wants to follow. `bytes`, `stretches` and `inside` describe the same regions in bytes of the source image. */
export interface SubscriptionRequest extends DeltaLimits {
  /** The owner's own number for it, the same on every link; the number on the wire is the session's affair. */
  readonly key: number;
  readonly regions: SubscribeMessage["regions"];
  readonly mode: SubscribeMessage["mode"];
  /** Every delta must bring a root. */
  readonly verify: boolean;
  /** Deltas a second at most; null: as fast as it goes. */
  readonly maxRate: number | null;
  /** The state to go on from; null: none. */
  readonly have: { readonly incarnation: string; readonly version: number } | null;
}

/** SUBSCRIBE has been sent. `anew`: because a repair did not help. */
export interface AskedFollowing {
  readonly stage: "asked";
  readonly id: number;
  readonly request: SubscriptionRequest;
  readonly mending: "none" | "full";
}

export interface LiveFollowing {
  readonly stage: "live";
  readonly id: number;
  readonly request: SubscriptionRequest;
  /** The version to which all deltas together lead that have arrived whole; null: a full one must come. */
  readonly received: number | null;
  /** A delta that is still arriving. */
  readonly assembly: Assembly | null;
  /** From a mismatch until bytes and root agree again. */
  readonly mending: "none" | "repairAsked" | "repairArrived" | "full";
}

export type Following = AskedFollowing | LiveFollowing;

export interface FollowerHandshake {
  readonly config: FollowerConfig;
  /** 64 hex characters, new for every link. */
  readonly nonce: string;
  readonly deadline: number;
  readonly outlet: Outlet;
}

/** Waits for CHALLENGE, then for the owner's signature if one is wanted, then for WELCOME. */
export type FollowerGreeting =
  | ({ readonly phase: "challenge" } & FollowerHandshake)
  | ({ readonly phase: "signature"; readonly challenge: ChallengeMessage } & FollowerHandshake)
  | ({ readonly phase: "welcome"; readonly challenge: ChallengeMessage } & FollowerHandshake);

export interface FollowerOpen {
  readonly phase: "open";
  readonly config: FollowerConfig;
  readonly incarnation: string;
  /** What the publisher gives one link. */
  readonly limits: WelcomeMessage["limits"];
  readonly vitals: Vitals;
  /** By number on the wire. */
  readonly followings: ReadonlyMap<number, Following>;
  /** Numbers only go up: one that is not in the map and not above this has ended. */
  readonly lastId: number;
}

export type FollowerState =
  { readonly phase: "new"; readonly config: FollowerConfig } | FollowerGreeting | FollowerOpen | Closed;

/** The publisher at the other end, and what it has. */
export interface Welcome {
  readonly node: string;
  readonly nodeId: string;
  readonly protocol: readonly [number, number];
  readonly features: readonly string[];
  readonly incarnation: string;
  readonly version: number;
  /** JSON text, unchecked. */
  readonly schema: string;
  readonly heartbeatMs: number;
  readonly limits: WelcomeMessage["limits"];
}

export type AppliedOutcome =
  | { readonly kind: "ok" }
  /**
   * `leafHashes`: 32 bytes for every leaf of the subscription at `version`, made only where they are to be sent; null asks for everything
   * anew at once.
   */
  | { readonly kind: "mismatch"; readonly leafHashes: (() => Uint8Array) | null };

export type FollowerEvent =
  | LinkEvent
  /** `nonce`: 32 random bytes in hex. */
  | { readonly kind: "opened"; readonly nonce: string; readonly now: number }
  /** The answer to `sign`: 32 bytes. */
  | { readonly kind: "signed"; readonly mac: Uint8Array; readonly now: number }
  /** Not before `welcome`. */
  | { readonly kind: "subscribe"; readonly request: SubscriptionRequest; readonly now: number }
  | { readonly kind: "unsubscribe"; readonly key: number; readonly now: number }
  | { readonly kind: "rate"; readonly key: number; readonly perSecond: number | null; readonly now: number }
  /** The answer to `apply`, in the same order. `version` is what the owner now has. */
  | {
      readonly kind: "applied";
      readonly delta: Delta;
      readonly version: number;
      readonly outcome: AppliedOutcome;
      readonly now: number;
    };

export type FollowerReport =
  | LinkReport
  /** Bytes and root disagree; what was asked for. */
  | {
      readonly kind: "mismatch";
      readonly key: number;
      readonly version: number;
      readonly asked: "repair" | "full";
    }
  /** In the mode "every" the publisher could not keep what this side did not take; asked for anew from `version`, null: from nothing. */
  | { readonly kind: "overflow"; readonly key: number; readonly version: number | null }
  /** They agree again. */
  | { readonly kind: "mended"; readonly key: number; readonly by: "repair" | "full" }
  /** A frame for a subscription that has ended. */
  | { readonly kind: "late"; readonly bytes: number };

export type FollowerAction =
  | LinkAction
  /** HMAC-SHA-256 of the transcript with the secret of this key; answer with `signed`. */
  | { readonly kind: "sign"; readonly keyId: string; readonly transcript: Uint8Array }
  | { readonly kind: "welcome"; readonly welcome: Welcome }
  /** Not resumed: the next delta is full, whatever the owner has. `reason` says why `have` was of no use. */
  | {
      readonly kind: "subscribed";
      readonly key: number;
      readonly resumed: boolean;
      readonly version: number;
      readonly reason: string | null;
    }
  /** The subscription has ended, or never began, because the publisher said so or this side knew that it would; the link goes on. */
  | { readonly kind: "refused"; readonly key: number; readonly fault: ProtocolFault }
  /**
   * Of a delta that is to come whole: keep what it brings until then. The first one has the head, and the place of whatever was kept of
   * another: parts of a delta whose last one does not come are of no use.
   */
  | {
      readonly kind: "part";
      readonly key: number;
      readonly head: DeltaHead | undefined;
      readonly chunks: readonly DeltaChunk[];
    }
  /**
   * Make one commit of it, with the parts before it, and answer with `applied`. It starts from what this key was brought to before, is full, or is
   * the repair that was asked for, which is right on top of whatever its leaf hashes described.
   */
  | { readonly kind: "apply"; readonly key: number; readonly delta: Delta }
  | { readonly kind: "report"; readonly report: FollowerReport };

export type FollowerStep = readonly [FollowerState, FollowerAction[]];
