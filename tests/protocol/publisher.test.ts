import { describe, expect, test } from "bun:test";
import { ProtocolFault } from "../../src/protocol/fault.ts";
import { defaultLimits } from "../../src/protocol/limits.ts";
import type { Message, SubscribeMessage } from "../../src/protocol/messages.ts";
import {
  ask,
  deliver,
  ending,
  hashes,
  incarnation,
  openPublisher,
  receive,
  sent,
  subscribed,
} from "./talk.ts";

describe("subscribing", () => {
  test("the owner decides; then everything is delivered", () => {
    const talk = openPublisher();
    expect(receive(talk, ask, 0)).toEqual([
      { kind: "acceptSubscription", subscription: 1, request: ask, resume: null },
    ]);
    const actions = talk.tell({ kind: "subscriptionAccepted", subscription: 1, bytes: 10_000, now: 0 });
    const answer = { type: "SUBSCRIBED", id: 1, incarnation, version: 5, bytes: 10_000, resumed: false };
    expect(actions).toEqual([{ kind: "send", message: answer as Message }, deliver(0, true)]);
  });

  test("a full delta goes out even at version 0: the follower may have something else", () => {
    const talk = openPublisher();
    receive(talk, ask, 0);
    const actions = talk.tell({ kind: "subscriptionAccepted", subscription: 1, bytes: 1, now: 0 });
    expect(actions).toContainEqual(deliver(0, true));
  });

  test.each([
    ["resumes", { incarnation, version: 3 }, 3, [deliver(3)]],
    ["has nothing newer", { incarnation, version: 5 }, 5, []],
    ["is ahead: a forgotten future", { incarnation, version: 6 }, null, [deliver(0, true)]],
    ["is of another incarnation", { incarnation: "00".repeat(16), version: 3 }, null, [deliver(0, true)]],
  ] as const)("a follower that %s", (_, have, resume, deliveries) => {
    const talk = openPublisher();
    expect(receive(talk, { ...ask, have }, 0)).toMatchObject([{ kind: "acceptSubscription", resume }]);
    const actions = talk.tell({ kind: "subscriptionAccepted", subscription: 1, bytes: 10_000, now: 0 });
    const [answer, ...rest] = actions;
    const reason = resume === null ? expect.any(String) : undefined;
    expect(answer).toMatchObject({ message: { type: "SUBSCRIBED", resumed: resume !== null, reason } });
    expect(rest).toEqual([...deliveries]);
  });

  test("the owner may decline to resume", () => {
    const talk = openPublisher();
    receive(talk, { ...ask, have: { incarnation, version: 3 } }, 0);
    const about = { subscription: 1, bytes: 9, resume: false, reason: "the table is gone", now: 0 };
    const [answer, delivery] = talk.tell({ kind: "subscriptionAccepted", ...about });
    expect(answer).toMatchObject({ message: { resumed: false, reason: "the table is gone" } });
    expect(delivery).toEqual(deliver(0, true));
  });

  test("a refusal ends that subscription alone", () => {
    const talk = openPublisher();
    receive(talk, ask, 0);
    const fault = new ProtocolFault("REGION", "There is no such array.");
    const actions = talk.tell({ kind: "subscriptionRefused", subscription: 1, fault, now: 0 });
    expect(sent(actions)).toEqual([
      { type: "ERROR", code: "REGION", text: "There is no such array.", subscription: 1 },
    ]);
    expect(talk.tell({ kind: "committed", version: 6, now: 1 })).toEqual([]);
    expect(receive(talk, { ...ask, id: 2 }, 1)).toHaveLength(1);
  });

  test("limits and modes are refused by name, and the link goes on", () => {
    const limits = { ...defaultLimits, subscriptionsMax: 2, regionsMax: 3, subscriptionBytesMax: 10_000 };
    const talk = openPublisher({ limits });
    const refusalOf = (about: Partial<SubscribeMessage>) => {
      const [message] = sent(receive(talk, { ...ask, ...about }, 0));
      return message?.type === "ERROR" ? [message.code, message.subscription] : [];
    };
    expect(refusalOf({ id: 1, mode: "every" })).toEqual(["UNSUPPORTED", 1]);
    expect(refusalOf({ id: 2, regions: Array(4).fill(ask.regions[0]) })).toEqual(["UNSUPPORTED", 2]);
    expect(refusalOf({ id: 3 })).toEqual([]);
    expect(refusalOf({ id: 4 })).toEqual([]);
    expect(refusalOf({ id: 5 })).toEqual(["LIMIT", 5]);
    expect(
      sent(talk.tell({ kind: "subscriptionAccepted", subscription: 3, bytes: 10_001, now: 0 })),
    ).toMatchObject([{ type: "ERROR", code: "UNSUPPORTED", subscription: 3 }]);
    expect(refusalOf({ id: 6 })).toEqual([]);
    expect(talk.state.phase).toBe("open");
  });

  test("each commit by itself where the owner can: as many deliveries as versions, and none counts as conflated", () => {
    const talk = openPublisher({ modes: ["latest", "every"] });
    expect(receive(talk, { ...ask, mode: "every" }, 0)).toMatchObject([{ kind: "acceptSubscription" }]);
    talk.tell({ kind: "subscriptionAccepted", subscription: 1, bytes: 10_000, now: 0 });
    talk.tell({ kind: "committed", version: 8, now: 1 });
    expect(talk.tell({ kind: "deltaSent", subscription: 1, to: 5, now: 1 })).toEqual([deliver(5)]);
    // the owner had 6 waiting, and 8, which was the next that concerned the subscription
    expect(talk.tell({ kind: "deltaSent", subscription: 1, to: 6, now: 2 })).toEqual([deliver(6)]);
    expect(talk.tell({ kind: "deltaSent", subscription: 1, to: 8, now: 3 })).toEqual([]);
    const fault = new ProtocolFault("LIMIT", "Too much waits.");
    expect(talk.tell({ kind: "subscriptionRefused", subscription: 1, fault, now: 4 })).toMatchObject([
      { message: { type: "ERROR", code: "LIMIT", subscription: 1 } },
    ]);
    expect(talk.tell({ kind: "committed", version: 9, now: 5 })).toEqual([]);
  });

  test("numbers only go up", () => {
    const talk = subscribed({ id: 7 });
    expect(ending(receive(talk, { ...ask, id: 7 }, 0))).toBe("us UNEXPECTED");
    const other = subscribed({ id: 7 });
    expect(ending(receive(other, { ...ask, id: 6 }, 0))).toBe("us UNEXPECTED");
  });

  test("what has ended is ignored, but that nobody wants it any more; what never was is not", () => {
    for (const message of [{ type: "RATE", id: 1, perSecond: 1 }, hashes()] satisfies Message[]) {
      const talk = subscribed();
      expect(receive(talk, { type: "UNSUBSCRIBE", id: 1 }, 0)).toEqual([
        { kind: "unsubscribed", subscription: 1 },
      ]);
      expect(receive(talk, message, 0)).toEqual([]);
      expect(talk.tell({ kind: "deltaSent", subscription: 1, to: 5, now: 0 })).toEqual([]);
      expect(ending(receive(openPublisher(), message, 0))).toBe("us UNEXPECTED");
    }
    const talk = subscribed();
    const fault = new ProtocolFault("LIMIT", "Too much waits.");
    talk.tell({ kind: "subscriptionRefused", subscription: 1, fault, now: 0 });
    expect(receive(talk, { type: "UNSUBSCRIBE", id: 1 }, 0)).toEqual([
      { kind: "unsubscribed", subscription: 1 },
    ]);
    expect(ending(receive(openPublisher(), { type: "UNSUBSCRIBE", id: 1 }, 0))).toBe("us UNEXPECTED");
  });
});

describe("ending", () => {
  test("in peace, from either side", () => {
    const talk = subscribed();
    const actions = talk.tell({ kind: "closeRequested", reason: "restarting", retryAfterMs: 2000, now: 0 });
    expect(sent(actions)).toEqual([{ type: "BYE", reason: "restarting", retryAfterMs: 2000 }]);
    expect(ending(actions)).toBe("us bye");
    expect(talk.tell({ kind: "committed", version: 9, now: 1 })).toEqual([]);
    expect(ending(receive(subscribed(), { type: "BYE", reason: "done" }, 0))).toBe("peer bye");
  });

  test("by a fault, told to the other side; an unknown code keeps its text", () => {
    const talk = subscribed();
    const actions = talk.tell({ kind: "fault", fault: new ProtocolFault("BAD_CHECKSUM", "damaged"), now: 0 });
    expect(sent(actions)).toEqual([{ type: "ERROR", code: "BAD_CHECKSUM", text: "damaged" }]);
    const other = subscribed();
    const [close] = receive(other, { type: "ERROR", code: "TOO_HOT", text: "it burns" }, 0);
    if (close?.kind !== "close" || close.cause.kind !== "fault") throw new Error("not closed");
    expect([close.cause.by, close.cause.fault.code, close.cause.fault.message]).toEqual([
      "peer",
      "REMOTE",
      "TOO_HOT: it burns",
    ]);
  });

  test("by the link: nothing is left to do", () => {
    const talk = subscribed();
    expect(talk.tell({ kind: "linkClosed", now: 0 })).toEqual([]);
    expect(talk.state).toEqual({ phase: "closed", cause: { kind: "cut" } });
  });

  test("messages of the wrong side", () => {
    const wrong: Message = { type: "SUBSCRIBED", id: 1, incarnation, version: 1, bytes: 1, resumed: false };
    expect(ending(receive(subscribed(), wrong, 0))).toBe("us UNEXPECTED");
  });
});
