import type { Following } from "./following.ts";
import type { Publishing } from "./publishing.ts";

/** One link in {@link NodeStats}. Bytes are counted since the link was made. */
export interface LinkStats {
  readonly direction: "in" | "out";
  readonly peer: string;
  readonly address: string;
  readonly connected: boolean;
  readonly sentBytes: number;
  readonly receivedBytes: number;
  /** Bytes handed over that the other end has not taken. */
  readonly queuedBytes: number;
  /** Versions the other end ("in") is behind. */
  readonly lag: number;
  readonly deltas: number;
  /** Versions that went out merged into a later one. */
  readonly conflatedVersions: number;
  /** Repairs sent ("in") or mismatches found ("out"). */
  readonly repairs: number;
  readonly roundTripMs: number | null;
}

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
  readonly links: readonly LinkStats[];
}

export function publishingStats(link: Publishing): LinkStats {
  const { conversation, counters } = link;
  return {
    direction: "in",
    peer: link.peer,
    address: conversation.remote,
    connected: conversation.state.phase === "open",
    sentBytes: conversation.sentBytes,
    receivedBytes: conversation.receivedBytes,
    queuedBytes: conversation.queuedBytes,
    lag: link.lag,
    ...counters,
  };
}

export function followingStats(link: Following): LinkStats {
  const { deltas, mismatches, roundTripMs } = link.counters;
  return {
    direction: "out",
    peer: link.peer,
    address: link.server.key,
    connected: link.isConnected,
    ...link.traffic,
    queuedBytes: 0,
    lag: 0,
    deltas,
    conflatedVersions: 0,
    repairs: mismatches,
    roundTripMs,
  };
}
