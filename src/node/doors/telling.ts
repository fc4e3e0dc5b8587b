import { MemblastError } from "../../errors.ts";
import type { CloseCause } from "../../protocol/session.ts";
import type { Publishing } from "../publishing/publishing.ts";
import { causeText } from "../runtime/conversation.ts";
import type { Emitter } from "../runtime/emitter.ts";
import type { NodeEvents } from "../runtime/events.ts";
import type { ListeningOwner } from "./listening.ts";

/** What happens at a node's doors, and on the links that came in by them, as events. */
export function listeningOwner(
  emitter: Emitter<NodeEvents>,
  onError: (error: MemblastError) => void,
): ListeningOwner {
  const tellFault = ({ peer, conversation }: Publishing, cause: CloseCause): void => {
    if (cause.kind !== "fault") return;
    const text = `Link from ${peer}: ${causeText(cause, conversation.cutBy)}`;
    onError(new MemblastError("PROTOCOL", text, { reason: cause.fault.code }));
  };
  return {
    onError,
    onFaulty: tellFault,
    onCrowded: (event) => void emitter.emit("crowded", event),
    onReport({ peer, conversation }, report) {
      if (report.kind !== "joined") return;
      emitter.emit("connect", { peer, direction: "in", address: conversation.remote });
    },
    onOverflow: ({ peer, conversation }, bytes) =>
      void emitter.emit("overflow", { peer, address: conversation.remote, bytes }),
    onClosed(publishing, cause) {
      const { peer, conversation } = publishing;
      const reason = causeText(cause, conversation.cutBy);
      if (conversation.hasOpened)
        emitter.emit("disconnect", { peer, direction: "in", address: conversation.remote, reason });
      if (conversation.failure) onError(conversation.failure);
      if (conversation.hasOpened) tellFault(publishing, cause);
    },
  };
}
