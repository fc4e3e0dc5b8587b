import type { Following } from "./following.ts";
import type { Publishing } from "./publishing.ts";

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

/** Of a node that does not listen. */
export const noDoor = Object.freeze({
  /** Links that have not come through the handshake yet. */
  strangers: 0,
  /** Links that did not come through it in time. */
  slow: 0,
  /** Links sent away before they had, to make room for others. */
  evicted: 0,
  /** Proofs of a secret that were wrong. */
  failedProofs: 0,
  /** Proofs that were not looked at because of ten wrong ones within a minute from the same address of another machine. */
  turnedAway: 0,
  /** Links from this machine that were heard a little later for the same reason. */
  held: 0,
  /** Links closed unseen: `connectionsMax` stood already, or the process had too few files left. */
  refused: 0,
  /** Links that TLS refused: no certificate or an untrusted one where `tls.clientCertificates` asks for it, or a version below 1.2. */
  untrusted: 0,
  /** WebSockets refused because of the name that the node was called by (`hosts`) or the web page that they came from (`origins`). */
  foreign: 0,
  /**
   * Links that ended with a fault before they had come through the handshake: bytes that are no memblast of this version, no proof or a
   * wrong one, a name that is taken. One a second is told by an `error` event.
   */
  faulty: 0,
  /**
   * Links ended because others had to wait for what was kept for them, which is twice the image at most (64 MiB at least): they stood
   * still in the middle of a delta for two heartbeats or ten seconds, or went on by so little that others had waited for three times that.
   */
  tooSlow: 0,
});

/** What comes to a node's doors. */
export type DoorStats = { readonly [Name in keyof typeof noDoor]: number };

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
