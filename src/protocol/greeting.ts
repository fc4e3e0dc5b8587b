import { hexOf } from "./cursor.ts";
import { decodeFrame, moment } from "./decode.ts";
import { refuse } from "./fault.ts";
import type { FollowerAction, FollowerEvent, FollowerGreeting, FollowerStep } from "./follower_state.ts";
import { heartbeat } from "./heartbeat.ts";
import { payloadBytesMax, protocolVersion } from "./limits.ts";
import type { ChallengeMessage, Frame, WelcomeMessage } from "./messages.ts";
import { blockedOutlet, closeByPeer, freeOutlet, skippedFrame } from "./session.ts";
import { authTranscript } from "./transcript.ts";

type AwaitingWelcome = Extract<FollowerGreeting, { phase: "welcome" }>;
type AwaitingSignature = Extract<FollowerGreeting, { phase: "signature" }>;

/** The follower's handshake, from the HELLO that has been sent to WELCOME, or a fault; all before the deadline. */
export function followerGreetingStep(state: FollowerGreeting, event: FollowerEvent): FollowerStep {
  switch (event.kind) {
    case "frame":
      return onFrame(state, event.frame, event.now);
    case "signed":
      return state.phase === "signature" ? onSigned(state, event.mac) : [state, []];
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
const moments = {
  challenge: moment(place, "CHALLENGE"),
  signature: moment(place),
  welcome: moment(place, "WELCOME"),
};

function onFrame(state: FollowerGreeting, frame: Frame, now: number): FollowerStep {
  const message = decodeFrame<"CHALLENGE" | "WELCOME" | "ERROR" | "BYE">(frame, moments[state.phase]);
  switch (message?.type) {
    case "CHALLENGE":
      return onChallenge(state, message);
    case "WELCOME":
      return onWelcome(state as AwaitingWelcome, message, now); // it comes in no other phase
    case "ERROR":
    case "BYE":
      return closeByPeer(message);
    case undefined:
      return [state, [skippedFrame(frame)]];
  }
}

function onChallenge(state: FollowerGreeting, challenge: ChallengeMessage): FollowerStep {
  const { config, nonce } = state;
  if (challenge.nodeId === config.nodeId)
    refuse("UNSUPPORTED", "The node at this address is this one, and a node does not follow itself.");
  if (challenge.auth === "none") {
    const actions: FollowerAction[] = [toleratesWelcome, { kind: "send", message: { type: "AUTH", nonce } }];
    return [{ ...state, phase: "welcome", challenge }, actions];
  }
  if (challenge.auth !== "hmac-sha256") {
    refuse("AUTH", `The publisher wants ${challenge.auth}, this side can prove itself by hmac-sha256 only.`);
  }
  const { keyId } = config;
  if (keyId === null)
    return refuse(
      "AUTH",
      "The publisher wants a proof of a shared secret: give the option secret: { keyId, secret }.",
    );
  const transcript = authTranscript({
    followerProtocol: protocolVersion,
    publisherProtocol: challenge.protocol,
    followerId: config.nodeId,
    publisherId: challenge.nodeId,
    followerNonce: nonce,
    publisherNonce: challenge.nonce,
    keyId,
  });
  return [{ ...state, phase: "signature", challenge }, [{ kind: "sign", keyId, transcript }]];
}

/** WELCOME holds the schema, which may be larger than a handshake's other messages. */
const toleratesWelcome: FollowerAction = Object.freeze({ kind: "frameLimit", payloadBytesMax });

function onSigned(state: AwaitingSignature, mac: Uint8Array): FollowerStep {
  const { nonce, config } = state;
  const proof = { keyId: config.keyId ?? undefined, mac: hexOf(mac), nonce };
  return [
    { ...state, phase: "welcome" },
    [toleratesWelcome, { kind: "send", message: { type: "AUTH", ...proof } }],
  ];
}

function onWelcome(state: AwaitingWelcome, message: WelcomeMessage, now: number): FollowerStep {
  const { config, challenge, outlet } = state;
  const { incarnation, version, schema, heartbeatMs, limits } = message;
  const { node, nodeId, protocol, features } = challenge;
  const vitals = { life: heartbeat(heartbeatMs, now), outlet };
  const welcome = { node, nodeId, protocol, features, incarnation, version, schema, heartbeatMs, limits };
  return [
    { phase: "open", config, incarnation, limits, vitals, followings: new Map(), lastId: 0 },
    [{ kind: "welcome", welcome }],
  ];
}
