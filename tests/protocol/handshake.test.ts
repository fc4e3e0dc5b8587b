import { describe, expect, test } from "bun:test";
import { timingSafeEqual } from "node:crypto";
import { ProtocolFault } from "../../src/protocol/fault.ts";
import { followerDeadline } from "../../src/protocol/follower.ts";
import { type FrameType, frameTypes, type Message } from "../../src/protocol/messages.ts";
import { publisherDeadline } from "../../src/protocol/publisher.ts";
import type { Peer, PublisherConfig } from "../../src/protocol/publisher_state.ts";
import {
  ending,
  follower,
  followerConfig,
  followerNonce,
  type FollowerTalk,
  frameOf,
  kinds,
  openFollower,
  openPublisher,
  publisher,
  publisherConfig,
  publisherNonce,
  type PublisherTalk,
  sent,
} from "./talk.ts";

const hmac = (secret: string, bytes: Uint8Array) =>
  new Bun.CryptoHasher("sha256", secret).update(bytes).digest();

/** Wants the secret of a key; constant time is the owner's affair. */
function locked(secrets: Record<string, string>): PublisherConfig["auth"] {
  return {
    kind: "hmac-sha256",
    verify(keyId, transcript, mac) {
      const right = timingSafeEqual(mac, hmac(secrets[keyId] ?? "", transcript)) && keyId in secrets;
      return right ? null : new ProtocolFault("AUTH", "The key or the proof is wrong.");
    },
  };
}

/** Carries messages to and fro until both are silent; `secret` signs. Returns what was said. */
function handshake(p: PublisherTalk, f: FollowerTalk, secret = "", nonce = publisherNonce): Message[] {
  p.tell({ kind: "opened", nonce, version: 5, now: 0 });
  const all: Message[] = [];
  let queue = f.tell({ kind: "opened", nonce: followerNonce, now: 0 });
  for (let turn = 0; turn < 20; turn++) {
    const asked = queue.find((action) => action.kind === "sign");
    const more =
      asked === undefined ? [] : f.tell({ kind: "signed", mac: hmac(secret, asked.transcript), now: 0 });
    const messages = sent([...queue, ...more]);
    all.push(...messages);
    const answers = messages.flatMap((message) =>
      sent(p.tell({ kind: "frame", frame: frameOf(message), now: 0 })),
    );
    all.push(...answers);
    queue = answers.flatMap((message) => f.tell({ kind: "frame", frame: frameOf(message), now: 0 }));
    if (messages.length === 0) break;
  }
  return all;
}

const types = (messages: readonly Message[]) => messages.map((message) => message.type);
const hello: Message = {
  type: "HELLO",
  magic: "memblast",
  protocol: [1, 0],
  node: "v",
  nodeId: "f0".repeat(16),
  features: [],
};

const challenge: Message = {
  type: "CHALLENGE",
  protocol: [1, 0],
  node: "p",
  nodeId: "90".repeat(16),
  auth: "none",
  nonce: publisherNonce,
  features: [],
};

/** A publisher that has heard this. */
function greeted(...messages: readonly Message[]): PublisherTalk {
  const talk = publisher();
  talk.tell({ kind: "opened", nonce: publisherNonce, version: 0, now: 0 });
  for (const message of messages) talk.tell({ kind: "frame", frame: frameOf(message), now: 0 });
  return talk;
}

function greeting(...messages: readonly Message[]): FollowerTalk {
  const talk = follower({ keyId: "desk" });
  talk.tell({ kind: "opened", nonce: followerNonce, now: 0 });
  for (const message of messages) talk.tell({ kind: "frame", frame: frameOf(message), now: 0 });
  return talk;
}

describe("the handshake", () => {
  test("without a secret", () => {
    const p = publisher();
    const f = follower();
    expect(types(handshake(p, f))).toEqual(["HELLO", "CHALLENGE", "AUTH", "WELCOME"]);
    expect([p.state.phase, f.state.phase]).toEqual(["open", "open"]);
    const welcome = f.done.find((action) => action.kind === "welcome")?.welcome;
    expect(welcome).toMatchObject({
      node: "prices",
      incarnation: publisherConfig.incarnation,
      version: 5,
      schema: '{"arrays":[]}',
    });
    expect(kinds(p.done)).toEqual(["send", "frameLimit", "send", "report"]);
  });

  test("with a secret that never travels", () => {
    const p = publisher({ auth: locked({ desk: "correct horse" }) });
    const f = follower({ keyId: "desk" });
    const said = handshake(p, f, "correct horse");
    expect(p.state.phase === "open" && p.state.peer.keyId).toBe("desk");
    expect(JSON.stringify(said)).not.toContain("correct horse");
  });

  test("a wrong secret, an unknown key, no key, no proof", () => {
    const auth = locked({ desk: "right" });
    const ends = (keyId: string | null, secret: string) => {
      const p = publisher({ auth });
      const f = follower({ keyId });
      handshake(p, f, secret);
      return [ending(p.done), ending(f.done)];
    };
    expect(ends("desk", "right")).toEqual(["not at all", "not at all"]);
    expect(ends("desk", "wrong")).toEqual(["us AUTH", "peer AUTH"]);
    expect(ends("door", "right")).toEqual(["us AUTH", "peer AUTH"]);
    expect(ends(null, "")).toEqual(["peer AUTH", "us AUTH"]);
    const p = publisher({ auth });
    p.tell({ kind: "opened", nonce: publisherNonce, version: 0, now: 0 });
    p.tell({ kind: "frame", frame: frameOf(hello), now: 0 });
    p.tell({ kind: "frame", frame: frameOf({ type: "AUTH", nonce: followerNonce }), now: 0 });
    expect(ending(p.done)).toBe("us AUTH");
  });

  test("a recorded proof is worthless on every other link", () => {
    const auth = locked({ desk: "right" });
    const recorded = handshake(publisher({ auth }), follower({ keyId: "desk" }), "right").filter(
      ({ type }) => type === "HELLO" || type === "AUTH",
    );
    expect(recorded.length).toBe(2);
    for (let attempt = 0; attempt < 1000; attempt++) {
      const p = publisher({ auth });
      p.tell({ kind: "opened", nonce: (attempt + 1).toString(16).padStart(64, "0"), version: 0, now: 0 });
      for (const message of recorded) p.tell({ kind: "frame", frame: frameOf(message), now: 0 });
      expect(ending(p.done)).toBe("us AUTH");
    }
  });

  test("an unknown method", () => {
    const f = follower({ keyId: "desk" });
    f.tell({ kind: "opened", nonce: followerNonce, now: 0 });
    const about = {
      protocol: [1, 0] as const,
      node: "p",
      nodeId: "90".repeat(16),
      nonce: publisherNonce,
      features: [],
    };
    f.tell({ kind: "frame", frame: frameOf({ type: "CHALLENGE", ...about, auth: "kerberos" }), now: 0 });
    expect(ending(f.done)).toBe("us AUTH");
  });

  test("the owner has the last word", () => {
    const seen: Peer[] = [];
    const taken = new ProtocolFault("NAME_TAKEN", "There is a viewer already.");
    const p = publisher({
      admit(peer) {
        seen.push(peer);
        return taken;
      },
    });
    const f = follower();
    handshake(p, f);
    expect(seen).toMatchObject([{ node: "viewer", nodeId: followerConfig.nodeId, keyId: null }]);
    expect([ending(p.done), ending(f.done)]).toEqual(["us NAME_TAKEN", "peer NAME_TAKEN"]);
    expect(types(sent(p.done))).toEqual(["CHALLENGE", "ERROR"]);
  });

  test("another major version", () => {
    const p = publisher();
    p.tell({ kind: "opened", nonce: publisherNonce, version: 0, now: 0 });
    p.tell({ kind: "frame", frame: frameOf({ ...hello, protocol: [2, 0] }), now: 0 });
    expect(ending(p.done)).toBe("us VERSION");
    const later = publisher();
    later.tell({ kind: "opened", nonce: publisherNonce, version: 0, now: 0 });
    expect(
      types(sent(later.tell({ kind: "frame", frame: frameOf({ ...hello, protocol: [1, 7] }), now: 0 }))),
    ).toEqual(["CHALLENGE"]);
  });

  test("everything else is unexpected, and said so", () => {
    for (const message of [
      { type: "AUTH", nonce: followerNonce },
      { type: "PING", opaque: new Uint8Array(8) },
      { type: "UNSUBSCRIBE", id: 1 },
    ] satisfies Message[]) {
      const p = publisher();
      p.tell({ kind: "opened", nonce: publisherNonce, version: 0, now: 0 });
      const actions = p.tell({ kind: "frame", frame: frameOf(message), now: 0 });
      expect(kinds(actions)).toEqual(["send", "close"]);
      expect(sent(actions)).toMatchObject([{ type: "ERROR", code: "UNEXPECTED" }]);
      expect(p.tell({ kind: "frame", frame: frameOf(hello), now: 0 })).toEqual([]); // closed is closed
    }
    const f = follower();
    f.tell({ kind: "opened", nonce: followerNonce, now: 0 });
    f.tell({ kind: "frame", frame: frameOf(hello), now: 0 });
    expect(ending(f.done)).toBe("us UNEXPECTED");
  });

  test.each([
    ["a publisher that waits for HELLO", () => greeted(), ["HELLO"]],
    ["a publisher that waits for AUTH", () => greeted(hello), ["AUTH"]],
    [
      "a publisher that is open",
      () => openPublisher(),
      ["SUBSCRIBE", "UNSUBSCRIBE", "RATE", "HASHES", "PING", "PONG"],
    ],
    ["a follower that waits for CHALLENGE", () => greeting(), ["CHALLENGE"]],
    ["a follower that signs", () => greeting({ ...challenge, auth: "hmac-sha256" }), []],
    ["a follower that waits for WELCOME", () => greeting(challenge), ["WELCOME"]],
    ["a follower that is open", () => openFollower(), ["SUBSCRIBED", "DELTA", "PING", "PONG"]],
  ] as const)("%s looks into nothing that is not due", (_, talk, due) => {
    for (const type of Object.keys(frameTypes) as FrameType[]) {
      const frame = { type: frameTypes[type], flags: 0, payload: Uint8Array.of(0x7b) };
      const isDue = [...due, "ERROR", "BYE"].includes(type);
      const end = ending(talk().tell({ kind: "frame", frame, now: 0 }));
      expect([type, end]).toEqual([type, isDue ? "us BAD_MESSAGE" : "us UNEXPECTED"]);
    }
  });

  test("frames of a later version are skipped, unless critical", () => {
    const p = publisher();
    p.tell({ kind: "opened", nonce: publisherNonce, version: 0, now: 0 });
    const unknown = { type: 77, payload: new Uint8Array(3) };
    expect(p.tell({ kind: "frame", frame: { ...unknown, flags: 0 }, now: 0 })).toEqual([
      { kind: "report", report: { kind: "skipped", frameType: 77 } },
    ]);
    p.tell({ kind: "frame", frame: { ...unknown, flags: 1 }, now: 0 });
    expect(ending(p.done)).toBe("us UNKNOWN_FRAME");
  });

  test("must be over in time, at both ends", () => {
    const p = publisher();
    const f = follower();
    expect([publisherDeadline(p.state), followerDeadline(f.state)]).toEqual([null, null]);
    p.tell({ kind: "opened", nonce: publisherNonce, version: 0, now: 100 });
    f.tell({ kind: "opened", nonce: followerNonce, now: 100 });
    expect([publisherDeadline(p.state), followerDeadline(f.state)]).toEqual([3100, 3100]);
    // Trickling in does not put it off.
    p.tell({ kind: "heard", now: 3000 });
    p.tell({ kind: "frame", frame: frameOf(hello), now: 3000 });
    expect(p.tell({ kind: "tick", now: 3099 })).toEqual([]);
    expect(ending(p.tell({ kind: "tick", now: 3100 }))).toBe("us TIMEOUT");
    expect(ending(f.tell({ kind: "tick", now: 3100 }))).toBe("us TIMEOUT");
    expect([publisherDeadline(p.state), followerDeadline(f.state)]).toEqual([null, null]);
  });

  test("frame limits: raised when the link is open, for the follower when it waits for WELCOME", () => {
    const p = publisher();
    const f = follower();
    handshake(p, f);
    expect(p.done.findIndex((action) => action.kind === "frameLimit")).toBe(1); // after CHALLENGE, before WELCOME
    const authAt = f.done.findIndex((action) => action.kind === "send" && action.message.type === "AUTH");
    expect(f.done.findIndex((action) => action.kind === "frameLimit")).toBe(authAt - 1);
  });
});
