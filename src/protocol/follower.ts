import { fail } from "../errors.ts";
import { ProtocolFault } from "./fault.ts";
import type {
  FollowerConfig,
  FollowerEvent,
  FollowerGreeting,
  FollowerState,
  FollowerStep,
} from "./follower_state.ts";
import { openFollowerStep } from "./following.ts";
import { followerGreetingStep } from "./greeting.ts";
import { heartbeatDeadline } from "./heartbeat.ts";
import { protocolVersion } from "./limits.ts";
import { closeByBye, closeByFault, countPending, cutState, freeOutlet } from "./session.ts";

/** The follower's side of one link, before the link is there. */
export function newFollower(config: FollowerConfig): FollowerState {
  return { phase: "new", config };
}

/** Pure: the state that was given stays as it was. A closed session answers everything with nothing. */
export function stepFollower(state: FollowerState, event: FollowerEvent): FollowerStep {
  if (state.phase === "closed") return [state, []];
  try {
    if (event.kind === "linkClosed") return [cutState, []];
    if (event.kind === "fault") return closeByFault(event.fault);
    if (event.kind === "closeRequested") return closeByBye(event.reason, event.retryAfterMs);
    if (event.kind === "subscribe" && state.phase !== "open") {
      fail("PROTOCOL", "A session subscribes after its welcome, not before.");
    }
    if (state.phase === "new") return event.kind === "opened" ? opened(state.config, event) : [state, []];
    if (state.phase !== "open") return followerGreetingStep(state, event);
    return counted(openFollowerStep(state, event));
  } catch (fault) {
    if (fault instanceof ProtocolFault) return closeByFault(fault);
    throw fault;
  }
}

/** When a tick is wanted, on the clock of the events; null: never. */
export function followerDeadline(state: FollowerState): number | null {
  if (state.phase === "new" || state.phase === "closed") return null;
  return state.phase === "open" ? heartbeatDeadline(state.vitals.life) : state.deadline;
}

function opened(config: FollowerConfig, event: FollowerEvent & { kind: "opened" }): FollowerStep {
  const { nonce, now } = event;
  const { node, nodeId, limits } = config;
  const state: FollowerGreeting = {
    phase: "challenge",
    config,
    nonce,
    deadline: now + limits.handshakeMs,
    outlet: freeOutlet,
  };
  const about = { magic: "memblast", protocol: protocolVersion, node, nodeId, features: [] } as const;
  return [state, [{ kind: "send", message: { type: "HELLO", ...about, features: [] } }]];
}

function counted([state, actions]: FollowerStep): FollowerStep {
  if (state.phase !== "open") return [state, actions];
  const vitals = countPending(state.vitals, actions, state.config.limits.pendingFramesMax);
  return [vitals === state.vitals ? state : { ...state, vitals }, actions];
}
