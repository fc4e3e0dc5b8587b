import type { Following } from "./following.ts";
import type { Publishing } from "./publishing.ts";

/** One link in {@link NodeStats}. Bytes are counted since the link was made. */
export interface LinkStats {
  readonly direction: "in" | "out";
  readonly peer: string;
  readonly address: string;
  /** The secret that let the follower in; null where none is asked for. */
  readonly key: string | null;
  readonly connected: boolean;
  readonly sentBytes: number;
  readonly receivedBytes: number;
  /** Bytes handed over that the other end has not taken. */
  readonly queuedBytes: number;
  /** Bytes of commits that wait for a follower that wants every one of them ("in"). */
  readonly waitingBytes: number;
  /** Versions the other end ("in") is behind. */
  readonly lag: number;
  readonly deltas: number;
  /** Versions that went out merged into a later one. */
  readonly conflatedVersions: number;
  /** Times that more commits waited for a follower in the mode "every" than may: it then got them as one. */
  readonly overflows: number;
  /** Repairs sent ("in") or mismatches found ("out"). */
  readonly repairs: number;
  readonly roundTripMs: number | null;
}

/** What comes to a node's doors. */
export interface DoorStats {
  /** Links that have not come through the handshake yet. */
  readonly strangers: number;
  /** Links that did not come through it in time. */
  readonly slow: number;
  /** Links sent away before they had, to make room for others. */
  readonly evicted: number;
  /** Proofs of a secret that were wrong. */
  readonly failedProofs: number;
  /** Proofs that were not looked at because of earlier wrong ones from the same address. */
  readonly turnedAway: number;
}

/** Of a node that does not listen. */
export const noDoor: DoorStats = Object.freeze({
  strangers: 0,
  slow: 0,
  evicted: 0,
  failedProofs: 0,
  turnedAway: 0,
});

/** Everything a node counts. */
export interface NodeStats {
  readonly name: string;
  readonly version: number;
  readonly incarnation: string;
  readonly imageBytes: number;
  readonly rollbacks: number;
  readonly recoveries: number;
  /** Deltas encoded; less than the deltas sent where followers share them. */
  readonly encodings: number;
  readonly door: DoorStats;
  readonly links: readonly LinkStats[];
}

export function publishingStats(link: Publishing): LinkStats {
  const { conversation, counters } = link;
  return {
    direction: "in",
    peer: link.peer,
    address: conversation.remote,
    key: link.keyId,
    connected: conversation.state.phase === "open",
    sentBytes: conversation.sentBytes,
    receivedBytes: conversation.receivedBytes,
    queuedBytes: conversation.queuedBytes,
    waitingBytes: link.waitingBytes,
    lag: link.lag,
    ...counters,
  };
}

export function followingStats(link: Following): LinkStats {
  const { deltas, mismatches, overflows, roundTripMs } = link.counters;
  return {
    direction: "out",
    peer: link.peer,
    address: link.server.key,
    key: link.server.secret?.keyId ?? null,
    connected: link.isConnected,
    ...link.traffic,
    queuedBytes: 0,
    waitingBytes: 0,
    lag: 0,
    deltas,
    conflatedVersions: 0,
    overflows,
    repairs: mismatches,
    roundTripMs,
  };
}
