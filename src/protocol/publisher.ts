import { publisherGreetingStep } from "./admission.ts";
import { dueAt } from "./delivery.ts";
import { ProtocolFault } from "./fault.ts";
import { heartbeatDeadline } from "./heartbeat.ts";
import { openPublisherStep } from "./publication.ts";
import type {
  PublisherConfig,
  PublisherEvent,
  PublisherGreeting,
  PublisherOpen,
  PublisherState,
  PublisherStep,
} from "./publisher_state.ts";
import { closeByBye, closeByFault, countPending, cutState, freeOutlet } from "./session.ts";
import { isOpen } from "./window.ts";

/** The publisher's side of one link, before the link is there. */
export function newPublisher(config: PublisherConfig): PublisherState {
  return { phase: "new", config };
}

/** Pure: the state that was given stays as it was. A closed session answers everything with nothing. */
export function stepPublisher(state: PublisherState, event: PublisherEvent): PublisherStep {
  if (state.phase === "closed") return [state, []];
  try {
    if (event.kind === "linkClosed") return [cutState, []];
    if (event.kind === "fault") return closeByFault(event.fault);
    if (event.kind === "closeRequested") return closeByBye(event.reason, event.retryAfterMs);
    if (state.phase === "new") return [event.kind === "opened" ? greeting(state.config, event) : state, []];
    if (state.phase !== "open") return publisherGreetingStep(state, event);
    return counted(openPublisherStep(state, event));
  } catch (fault) {
    if (fault instanceof ProtocolFault) return closeByFault(fault);
    throw fault;
  }
}

/** When a tick is wanted, on the clock of the events; null: never. */
export function publisherDeadline(state: PublisherState): number | null {
  if (state.phase === "new" || state.phase === "closed") return null;
  return state.phase === "open" ? openDeadline(state) : state.deadline;
}

function openDeadline(state: PublisherOpen): number {
  let deadline = heartbeatDeadline(state.vitals.life);
  if (state.vitals.outlet.kind === "blocked") return deadline;
  const hasRoom = isOpen(state.window);
  for (const subscription of state.subscriptions.values()) {
    if (subscription.stage === "live")
      deadline = Math.min(deadline, dueAt(subscription, hasRoom) ?? deadline);
  }
  return deadline;
}

function greeting(config: PublisherConfig, event: PublisherEvent & { kind: "opened" }): PublisherGreeting {
  const { nonce, version, now } = event;
  const deadline = now + config.limits.handshakeMs;
  return { phase: "hello", config, version, nonce, deadline, outlet: freeOutlet };
}

function counted([state, actions]: PublisherStep): PublisherStep {
  if (state.phase !== "open") return [state, actions];
  const vitals = countPending(state.vitals, actions, state.config.limits.pendingFramesMax);
  return [vitals === state.vitals ? state : { ...state, vitals }, actions];
}
