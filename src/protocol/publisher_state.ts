import type { DeliveryAction, Subscription } from "./delivery.ts";
import type { ProtocolFault } from "./fault.ts";
import type { Limits } from "./limits.ts";
import type { HelloMessage, SubscribeMessage } from "./messages.ts";
import type { Closed, LinkAction, LinkEvent, LinkReport, Outlet, Vitals } from "./session.ts";
import type { Window } from "./window.ts";

/** The follower at the other end. */
export interface Peer {
  readonly node: string;
  readonly nodeId: string;
  readonly protocol: readonly [number, number];
  readonly features: readonly string[];
  /** The secret it has proved to know; null where none is asked for. */
  readonly keyId: string | null;
}

/** What is the same for every link of a publisher. */
export interface PublisherConfig {
  readonly node: string;
  readonly nodeId: string;
  readonly incarnation: string;
  /** JSON text of the schema, as the follower is to see it. */
  readonly schema: string;
  readonly auth:
    | { readonly kind: "none" }
    | {
        readonly kind: "hmac-sha256";
        /** Null if `mac` is right for this key, compared in constant time; else the fault to send. */
        readonly verify: (keyId: string, transcript: Uint8Array, mac: Uint8Array) => ProtocolFault | null;
      };
  /** How it can deliver; absent: "latest" only. */
  readonly modes?: readonly SubscribeMessage["mode"][];
  /** The owner's last word before a link opens: null lets the peer in. */
  readonly admit?: (peer: Peer) => ProtocolFault | null;
  readonly limits: Limits;
}

export interface PublisherHandshake {
  readonly config: PublisherConfig;
  readonly version: number;
  /** 64 hex characters, new for every link. */
  readonly nonce: string;
  readonly deadline: number;
  readonly outlet: Outlet;
}

/** Waits for HELLO, then for AUTH. */
export type PublisherGreeting =
  | ({ readonly phase: "hello" } & PublisherHandshake)
  | ({ readonly phase: "auth"; readonly hello: HelloMessage } & PublisherHandshake);

/** The follower is in. */
export interface PublisherOpen {
  readonly phase: "open";
  readonly config: PublisherConfig;
  readonly version: number;
  readonly peer: Peer;
  readonly vitals: Vitals;
  readonly subscriptions: ReadonlyMap<number, Subscription>;
  readonly window: Window;
  /** Numbers of subscriptions only go up: one that is not in the map and not above this has ended. */
  readonly lastId: number;
  /** When the last delivery began of those subscriptions that this side has ended. */
  readonly endedAt: number;
}

export type PublisherState =
  { readonly phase: "new"; readonly config: PublisherConfig } | PublisherGreeting | PublisherOpen | Closed;

export type PublisherEvent =
  | LinkEvent
  /** `version` is the newest committed one; `nonce` 32 random bytes in hex. */
  | { readonly kind: "opened"; readonly nonce: string; readonly version: number; readonly now: number }
  /** `subscriptions` names those that the commit may concern; without it, all. Several commits may be told as one. */
  | {
      readonly kind: "committed";
      readonly version: number;
      readonly subscriptions?: Iterable<number>;
      readonly now: number;
    }
  /** All frames of the delta to version `to` have been handed to the link. Not reported after `unsubscribed`. */
  | { readonly kind: "deltaSent"; readonly subscription: number; readonly to: number; readonly now: number }
  /** Up to `version` there is nothing to tell; no frame was sent. */
  | {
      readonly kind: "nothingToSend";
      readonly subscription: number;
      readonly version: number;
      readonly now: number;
    }
  /** `resume: false` asks for a full delta though the version would do; `reason` is told to the follower. */
  | {
      readonly kind: "subscriptionAccepted";
      readonly subscription: number;
      readonly bytes: number;
      readonly resume?: boolean;
      readonly reason?: string;
      readonly now: number;
    }
  /** Refuses a request, or ends a subscription; the link goes on. */
  | {
      readonly kind: "subscriptionRefused";
      readonly subscription: number;
      readonly fault: ProtocolFault;
      readonly now: number;
    };

export type PublisherReport =
  | LinkReport
  | { readonly kind: "joined"; readonly peer: Peer }
  /** `versions` commits were merged into the next one instead of being sent alone. */
  | { readonly kind: "conflated"; readonly subscription: number; readonly versions: number }
  | { readonly kind: "repairAsked"; readonly subscription: number; readonly version: number };

export type PublisherAction =
  | LinkAction
  | DeliveryAction
  /**
   * Compare the regions with the schema and the peer's rights, and answer with `subscriptionAccepted` or
   * `subscriptionRefused`. `resume` is the version from which it could go on, null if it must begin anew.
   */
  | {
      readonly kind: "acceptSubscription";
      readonly subscription: number;
      readonly request: SubscribeMessage;
      readonly resume: number | null;
    }
  /** Stop sending its delta, even in the middle, and forget it; or what is kept of one that has ended already. */
  | { readonly kind: "unsubscribed"; readonly subscription: number }
  | { readonly kind: "report"; readonly report: PublisherReport };

export type PublisherStep = readonly [PublisherState, PublisherAction[]];
