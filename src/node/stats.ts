import type { DoorStats } from "./doors/counters.ts";
import type { Following } from "./following/following.ts";
import type { Publishing } from "./publishing/publishing.ts";

/** One link in {@link NodeStats}; null where this end cannot know. Counted since the link was made, "out" over all links to that server. */
export interface LinkStats {
  readonly direction: "in" | "out";
  /** Name of the node at the other end; its address until it has said one. */
  readonly peer: string;
  readonly address: string;
  /** The secret that let the follower in; null where none is asked for. */
  readonly key: string | null;
  /** "given up": a server that this node does not follow any more, because trying again is of no use. */
  readonly state: "connecting" | "live" | "given up";
  /** "out": why it was given up; while "connecting", why the last link ended or the last attempt failed. Null where nothing has failed. */
  readonly reason: string | null;
  /** Whether `state` is "live". */
  readonly connected: boolean;
  /** What the follower has been brought to of this node's versions ("in"), or this node of the server's ("out"); null before the first state. */
  readonly version: number | null;
  readonly sentBytes: number;
  readonly receivedBytes: number;
  /** Bytes handed over that the other end has not taken. */
  readonly queuedBytes: number;
  /** Bytes of commits that wait for a follower that wants every one of them. "out": null. */
  readonly waitingBytes: number | null;
  /**
   * Versions from the last one sent to the newest that changed what the other end follows; 0: it has been sent all. Commits in between
   * that changed none of it are counted, too; so are all of them where a subscription overflowed and has not been asked for again. "out": null.
   */
  readonly lag: number | null;
  readonly deltas: number;
  /** Times that something new for this link did not go by itself, but with what came later: a delta was under way, or its rate forbade it. "out": null. */
  readonly conflations: number | null;
  /** Versions without a delta of their own: written in one turn, conflated, or without a change to what is followed. "out": null. */
  readonly conflatedVersions: number | null;
  /** Times that more commits waited for a follower in the mode "every" than may: it then got them as one. */
  readonly overflows: number;
  /** Repairs sent ("in") or mismatches found ("out"). */
  readonly repairs: number;
  /** From a PING to its answer, milliseconds; null before the first. */
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
  readonly door: DoorStats;
  readonly links: readonly LinkStats[];
}

export function publishingStats(link: Publishing): LinkStats {
  const { conversation, counters } = link;
  const connected = conversation.state.phase === "open";
  return {
    direction: "in",
    peer: link.peer,
    address: conversation.remote,
    key: link.keyId,
    state: connected ? "live" : "connecting",
    reason: null,
    connected,
    version: link.version,
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
  const { isConnected: connected, givenUp, outage } = link;
  return {
    direction: "out",
    peer: link.peer,
    address: link.server.key,
    key: link.server.secret?.keyId ?? null,
    state: givenUp ? "given up" : connected ? "live" : "connecting",
    reason: givenUp?.message ?? (connected ? null : outage),
    connected,
    version: link.hasState ? link.version : null,
    ...link.traffic,
    queuedBytes: link.queuedBytes,
    waitingBytes: null,
    lag: null,
    deltas,
    conflations: null,
    conflatedVersions: null,
    overflows,
    repairs: mismatches,
    roundTripMs,
  };
}
