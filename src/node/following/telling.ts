import type { Emitter } from "../runtime/emitter.ts";
import type { LinkEvent, NodeEvents } from "../runtime/events.ts";
import type { Following, FollowingOwner } from "./following.ts";

type Told = Pick<FollowingOwner, "onConnect" | "onDisconnect" | "onMismatch" | "onConflated">;

/** What happens on the links to servers, as events. */
export function followingEvents(emitter: Emitter<NodeEvents>): Told {
  const link = ({ peer, server }: Following): LinkEvent => ({ peer, direction: "out", address: server.key });
  return {
    onConnect: (following) => void emitter.emit("connect", link(following)),
    onDisconnect: (following, reason) => void emitter.emit("disconnect", { ...link(following), reason }),
    onMismatch: ({ server }, version) => void emitter.emit("mismatch", { source: server.key, version }),
    onConflated: (_, conflation) => void emitter.emit("conflated", conflation),
  };
}
