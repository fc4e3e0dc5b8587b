import { bytesOfHex } from "./cursor.ts";
import { decodeFrame, moment } from "./decode.ts";
import { refuse } from "./fault.ts";
import { heartbeat } from "./heartbeat.ts";
import { payloadBytesMax, protocolVersion } from "./limits.ts";
import type { AuthMessage, Frame, HelloMessage } from "./messages.ts";
import type {
  Peer,
  PublisherEvent,
  PublisherGreeting,
  PublisherOpen,
  PublisherStep,
} from "./publisher_state.ts";
import { blockedOutlet, closeByPeer, freeOutlet, skippedFrame, type Vitals } from "./session.ts";
import { authTranscript } from "./transcript.ts";
import { freshWindow } from "./window.ts";

type AwaitingAuth = Extract<PublisherGreeting, { phase: "auth" }>;

/** The publisher's handshake: HELLO, CHALLENGE, AUTH, WELCOME, or a fault; all before the deadline. */
export function publisherGreetingStep(state: PublisherGreeting, event: PublisherEvent): PublisherStep {
  switch (event.kind) {
    case "frame":
      return onFrame(state, event.frame, event.now);
    case "committed":
      return [{ ...state, version: Math.max(state.version, event.version) }, []];
    case "unwritable":
      return [{ ...state, outlet: blockedOutlet }, []];
    case "writable":
      return [{ ...state, outlet: freeOutlet }, []];
    case "tick":
      if (event.now < state.deadline) return [state, []];
      return refuse("TIMEOUT", "The handshake took too long.");
    default:
      return [state, []];
  }
}

const place = "in the handshake here";
const moments = { hello: moment(place, "HELLO"), auth: moment(place, "AUTH") };

function onFrame(state: PublisherGreeting, frame: Frame, now: number): PublisherStep {
  const message = decodeFrame<"HELLO" | "AUTH" | "ERROR" | "BYE">(frame, moments[state.phase]);
  switch (message?.type) {
    case "HELLO":
      return onHello(state, message);
    case "AUTH":
      return onAuth(state as AwaitingAuth, message, now); // it comes in no other phase
    case "ERROR":
    case "BYE":
      return closeByPeer(message);
    case undefined:
      return [state, [skippedFrame(frame)]];
  }
}

function onHello(state: PublisherGreeting, hello: HelloMessage): PublisherStep {
  const { node, nodeId, auth } = state.config;
  const { nonce } = state;
  const about = { node, nodeId, nonce, auth: auth.kind, protocol: protocolVersion, features: [] };
  return [{ ...state, phase: "auth", hello }, [{ kind: "send", message: { type: "CHALLENGE", ...about } }]];
}

function onAuth(state: AwaitingAuth, message: AuthMessage, now: number): PublisherStep {
  const { config, version, hello, outlet } = state;
  const keyId = provenKey(state, message);
  const { node, nodeId, protocol, features } = hello;
  const peer: Peer = { node, nodeId, protocol, features, keyId };
  const objection = config.admit?.(peer) ?? null;
  if (objection !== null) throw objection;
  const { incarnation, schema, limits } = config;
  const { heartbeatMs, subscriptionsMax, regionsMax, subscriptionBytesMax } = limits;
  const told = { subscriptionsMax, regionsMax, subscriptionBytesMax };
  const vitals: Vitals = { life: heartbeat(heartbeatMs, now), outlet };
  const open: PublisherOpen = {
    phase: "open",
    config,
    version,
    peer,
    vitals,
    subscriptions: new Map(),
    window: freshWindow,
    lastId: 0,
    endedAt: Number.NEGATIVE_INFINITY,
  };
  return [
    open,
    [
      { kind: "frameLimit", payloadBytesMax },
      { kind: "send", message: { type: "WELCOME", incarnation, version, schema, heartbeatMs, limits: told } },
      { kind: "report", report: { kind: "joined", peer } },
    ],
  ];
}

/** The key whose secret the peer has proved to know, null where no proof is asked for. */
function provenKey(state: AwaitingAuth, { keyId, mac, nonce }: AuthMessage): string | null {
  const { config, hello } = state;
  if (config.auth.kind === "none") return null;
  if (keyId === undefined || mac === undefined) {
    return refuse("AUTH", "This node wants a proof of a shared secret.");
  }
  const transcript = authTranscript({
    followerProtocol: hello.protocol,
    publisherProtocol: protocolVersion,
    followerId: hello.nodeId,
    publisherId: config.nodeId,
    followerNonce: nonce,
    publisherNonce: state.nonce,
    keyId,
  });
  const objection = config.auth.verify(keyId, transcript, bytesOfHex(mac));
  if (objection !== null) throw objection;
  return keyId;
}
