import { MemblastError } from "../errors.ts";
import { causeText } from "./conversation.ts";
import type { Emitter } from "./emitter.ts";
import { isWorthTelling, type NodeEvents } from "./events.ts";
import type { ListeningOwner } from "./listening.ts";

/** What happens at a node's doors, and on the links that came in by them, as events. */
export function listeningOwner(
  emitter: Emitter<NodeEvents>,
  onError: (error: MemblastError) => void,
): ListeningOwner {
  return {
    onError,
    onCrowded: (event) => void emitter.emit("crowded", event),
    onReport({ peer, conversation }, report) {
      if (report.kind !== "joined") return;
      emitter.emit("connect", { peer, direction: "in", address: conversation.remote });
    },
    onOverflow: ({ peer, conversation }, bytes) =>
      void emitter.emit("overflow", { peer, address: conversation.remote, bytes }),
    onClosed({ peer, conversation }, cause) {
      const reason = causeText(cause, conversation.cutBy);
      if (conversation.hasOpened)
        emitter.emit("disconnect", { peer, direction: "in", address: conversation.remote, reason });
      if (conversation.failure) onError(conversation.failure);
      if (cause.kind === "fault" && (conversation.hasOpened || isWorthTelling(cause)))
        onError(new MemblastError("PROTOCOL", `Link from ${peer}: ${reason}`, { reason: cause.fault.code }));
    },
  };
}
