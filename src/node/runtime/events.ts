import type { MemblastError } from "../../errors.ts";
import type { CloseCause } from "../../protocol/session.ts";

/** One link coming or going. */
export interface LinkEvent {
  /** Name of the node at the other end, or its address where it has not said one. */
  readonly peer: string;
  /** "in": it follows us; "out": we follow it. */
  readonly direction: "in" | "out";
  readonly address: string;
}

/** In the mode "every", versions that came as one. */
export interface Conflation {
  readonly source: string;
  /** What this node had, and what the delta brought it to. What was committed in between was not seen by itself. */
  readonly from: number;
  readonly version: number;
  /**
   * "reconnect": the link had been lost. "overflow": this node was too slow for all that the server may keep. "mismatch": something had to be
   * repaired. "restart": the server has begun anew, and all it has came as one, which may be less than this node had. It counts its versions
   * from the beginning again, so `from` is 0, and how much was missed of what it had before is not known.
   */
  readonly cause: "reconnect" | "overflow" | "mismatch" | "restart";
}

/** In the mode "every", a follower that was too slow. */
export interface Overflow {
  readonly peer: string;
  readonly address: string;
  /** What waited for it, and was given up. */
  readonly bytes: number;
}

/** Followers that were turned away at the door. */
export interface Crowded {
  /** As many links stand as `connectionsMax` allows, all listeners together; or the process has hardly any files left to open. */
  readonly cause: "connections" | "files";
  /** Turned away since the event before; `stats().door.refused` has the sum. 0 where nobody came yet, but nobody could be let in. */
  readonly refused: number;
  /** Links that stand, those included that have not come through the handshake yet. */
  readonly links: number;
}

export interface NodeEvents {
  connect: LinkEvent;
  disconnect: LinkEvent & { readonly reason: string };
  /** What a server sent does not give the root it announced; a repair is under way. */
  mismatch: { readonly source: string; readonly version: number };
  /** A server that is followed in the mode "every" sent several versions as one, or has begun anew. */
  conflated: Conflation;
  /** A follower in the mode "every" did not take what this node had for it, and gets it as one. */
  overflow: Overflow;
  /** There is no room for more followers: told when it begins, and every ten seconds while it lasts. They come again by themselves. */
  crowded: Crowded;
  /** What went wrong without anybody waiting for it. Without a handler it becomes a process warning. */
  error: MemblastError;
}

export const nodeEvents: Readonly<Record<keyof NodeEvents, true>> = {
  connect: true,
  disconnect: true,
  mismatch: true,
  conflated: true,
  overflow: true,
  crowded: true,
  error: true,
};

/**
 * Whether the end of a link at the door is worth a word, once a second at most. Those who never said who they are and were too slow, or
 * too many, are only counted.
 */
export function isWorthTelling(cause: CloseCause): boolean {
  return cause.kind === "fault" && cause.fault.code !== "TIMEOUT" && cause.fault.code !== "LIMIT";
}
