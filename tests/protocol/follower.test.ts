import { describe, expect, test } from "bun:test";
import type { Delta } from "../../src/protocol/assembly.ts";
import type { AppliedOutcome, SubscriptionRequest } from "../../src/protocol/follower_state.ts";
import type { DeltaHead } from "../../src/protocol/part.ts";
import type { Message, SubscribedMessage } from "../../src/protocol/messages.ts";
import {
  deltaOf,
  ending,
  follower,
  type FollowerTalk,
  frameOf,
  incarnation,
  kinds,
  openFollower,
  request,
  sent,
} from "./talk.ts";

const root = new Uint8Array(32).fill(5);
const full = (to: number, about: Partial<DeltaHead> = {}) =>
  [{ to, full: true, ...about }, [0, 10_000]] as const;

function receive(talk: FollowerTalk, message: Message) {
  return talk.tell({ kind: "frame", frame: frameOf(message), now: 0 });
}

function delta(talk: FollowerTalk, head: Partial<DeltaHead>, runs: readonly number[] = [], id = 1) {
  return talk.tell({ kind: "frame", frame: deltaOf(id, head, runs), now: 0 });
}

const answer = (about: Partial<SubscribedMessage> = {}): SubscribedMessage => ({
  type: "SUBSCRIBED",
  id: 1,
  incarnation,
  version: 5,
  bytes: 10_000,
  resumed: false,
  ...about,
});

function asked(about: Partial<SubscriptionRequest> = {}): FollowerTalk {
  const talk = openFollower();
  talk.tell({ kind: "subscribe", request: { ...request, ...about }, now: 0 });
  return talk;
}

/** Subscribed, with everything up to version 5. */
function following(about: Partial<SubscriptionRequest> = {}): FollowerTalk {
  const talk = asked(about);
  receive(talk, answer());
  const [action] = delta(talk, ...full(5, about.verify ? { root } : {}));
  if (action?.kind !== "apply") throw new Error("nothing to apply");
  applied(talk, action.delta, { kind: "ok" });
  return talk;
}

function applied(talk: FollowerTalk, of: Delta, outcome: AppliedOutcome) {
  return talk.tell({ kind: "applied", delta: of, version: of.to, outcome, now: 0 });
}

function deltaIn(actions: readonly { kind: string; delta?: Delta }[]): Delta {
  const found = actions.find((action) => action.kind === "apply")?.delta;
  if (found === undefined) throw new Error("nothing to apply");
  return found;
}

const mismatch: AppliedOutcome = { kind: "mismatch", leafHashes: () => new Uint8Array(96).fill(9) };

describe("subscribing", () => {
  test("what is asked, and what comes of it", () => {
    const talk = asked({ maxRate: 5, have: { incarnation, version: 3 }, verify: true });
    const { regions } = request;
    const have = { incarnation, version: 3 };
    const message = {
      type: "SUBSCRIBE",
      id: 1,
      regions,
      mode: "latest",
      verify: true,
      maxRate: 5,
      have,
    } as const;
    expect(sent(talk.done).at(-1)).toEqual(message);
    expect(receive(talk, answer({ resumed: true }))).toEqual([
      { kind: "subscribed", key: 7, resumed: true, version: 5, reason: null },
    ]);
    const actions = delta(talk, { from: 3, to: 5, root }, [8, 8]);
    expect(actions).toMatchObject([{ kind: "apply", key: 7, delta: { from: 3, to: 5 } }]);
  });

  test("only once the link is open, and once per key", () => {
    expect(() => follower().tell({ kind: "subscribe", request, now: 0 })).toThrow("after its welcome");
    expect(() => asked().tell({ kind: "subscribe", request, now: 0 })).toThrow("already");
  });

  test("a refusal ends the subscription, not the link", () => {
    const talk = asked();
    const actions = receive(talk, { type: "ERROR", code: "FORBIDDEN", text: "not for you", subscription: 1 });
    expect(actions).toMatchObject([
      { kind: "refused", key: 7, fault: { code: "FORBIDDEN", message: "not for you" } },
    ]);
    expect(talk.state.phase).toBe("open");
    talk.tell({ kind: "subscribe", request, now: 0 });
    expect(sent(talk.done).at(-1)).toMatchObject({ type: "SUBSCRIBE", id: 2 });
  });

  test("what could not be had, or not even be named in one frame, is not asked for", () => {
    const named = (count: number, characters: number) =>
      Array.from({ length: count }, () => ({ array: "n".repeat(characters), start: [0], shape: [1] }));
    for (const [about, says] of [
      [{ regions: named(5001, 1) }, "5001 regions, and one subscription has at most 5000"],
      [{ bytes: 2 ** 40 + 1 }, "1099511627777 bytes, and one subscription has at most 1099511627776"],
      [
        { regions: named(3500, 40) },
        "3500 regions, which take 269578 bytes to name, and a request has at most 262144",
      ],
    ] as const) {
      const talk = asked(about);
      expect(talk.done.at(-1)).toMatchObject({ kind: "refused", key: 7, fault: { code: "UNSUPPORTED" } });
      expect(talk.done.at(-1)).toHaveProperty("fault.message", expect.stringContaining(says));
      expect(sent(talk.done).at(-1)!.type).not.toBe("SUBSCRIBE");
      talk.tell({ kind: "subscribe", request, now: 0 }); // the key is free
      expect(sent(talk.done).at(-1)).toMatchObject({ type: "SUBSCRIBE", id: 1 });
    }
    expect(sent(asked({ regions: named(5000, 1), bytes: 2 ** 40 }).done).at(-1)!.type).toBe("SUBSCRIBE");
  });

  test("in the mode every, an overflow leads to the same again from what has arrived whole", () => {
    const talk = following({ mode: "every" });
    delta(talk, { from: 5, to: 6 }); // only the metadata changed, or nothing
    const over: Message = { type: "ERROR", code: "LIMIT", text: "too much waits", subscription: 1 };
    const actions = receive(talk, over);
    expect(actions[0]).toEqual({ kind: "report", report: { kind: "overflow", key: 7, version: 6 } });
    const have = { incarnation, version: 6 };
    expect(sent(actions)).toMatchObject([{ type: "SUBSCRIBE", id: 2, mode: "every", have }]);
    receive(talk, answer({ id: 2, resumed: true, version: 9 }));
    expect(kinds(delta(talk, { from: 6, to: 9 }, [8, 8], 2))).toEqual(["apply"]);
    // the same words about a subscription that never began are a refusal, as in the mode latest at any time
    expect(kinds(receive(asked({ mode: "every" }), over))).toEqual(["refused"]);
    expect(kinds(receive(following(), over))).toEqual(["refused"]);
  });

  test("an overflow before anything has come is a refusal: to ask at once would not help", () => {
    const over = (subscription: number): Message => ({
      type: "ERROR",
      code: "LIMIT",
      text: "too much waits",
      subscription,
    });
    const refused = [
      { kind: "refused", key: 7, fault: { code: "LIMIT" } },
      { kind: "report", report: { kind: "overflow", key: 7 } },
    ];
    const anew = asked({ mode: "every" });
    receive(anew, answer());
    expect(receive(anew, over(1))).toMatchObject(refused);
    expect(anew.state.phase === "open" && anew.state.followings.size).toBe(0);
    const resumed = asked({ mode: "every", have: { incarnation, version: 3 } });
    receive(resumed, answer({ resumed: true }));
    expect(receive(resumed, over(1))).toMatchObject(refused);
    // what has once come does not help the next time
    const again = following({ mode: "every" });
    expect(kinds(receive(again, over(1)))).toEqual(["report", "send"]);
    receive(again, answer({ id: 2, resumed: true }));
    expect(receive(again, over(2))).toMatchObject(refused);
  });

  test("an overflow in the midst of a repair begins with everything", () => {
    const talk = following({ mode: "every", verify: true });
    const broken = deltaIn(delta(talk, { from: 5, to: 6, root }, [8, 8]));
    applied(talk, broken, mismatch);
    const actions = receive(talk, { type: "ERROR", code: "LIMIT", text: "too much waits", subscription: 1 });
    expect(sent(actions)).toMatchObject([{ type: "SUBSCRIBE", id: 2, have: null }]);
  });

  test("a publisher that counts other bytes is not followed", () => {
    const talk = asked();
    const actions = receive(talk, answer({ bytes: 9_999 }));
    expect(actions).toMatchObject([
      { kind: "send", message: { type: "UNSUBSCRIBE", id: 1 } },
      { kind: "refused", key: 7, fault: { code: "REGION" } },
    ]);
  });

  test.each([
    ["of another incarnation", answer({ incarnation: "00".repeat(16) }), "us BAD_MESSAGE"],
    ["that resumes from nothing", answer({ resumed: true }), "us BAD_MESSAGE"],
    ["for what was never asked", answer({ id: 2 }), "us UNEXPECTED"],
  ] as const)("an answer %s", (_, message, end) => {
    expect(ending(receive(asked(), message))).toBe(end);
  });

  test("an answer twice", () => {
    const talk = asked();
    receive(talk, answer());
    expect(ending(receive(talk, answer()))).toBe("us UNEXPECTED");
  });

  test("after unsubscribing, what was under way is ignored", () => {
    const talk = asked();
    const actions = talk.tell({ kind: "unsubscribe", key: 7, now: 0 });
    expect(sent(actions)).toEqual([{ type: "UNSUBSCRIBE", id: 1 }]);
    expect(receive(talk, answer())).toEqual([]);
    expect(delta(talk, ...full(5))).toMatchObject([{ kind: "report", report: { kind: "late" } }]);
    expect(receive(talk, { type: "ERROR", code: "REGION", text: "", subscription: 1 })).toEqual([]);
    expect(ending(delta(talk, { full: true }, [0, 10_000], 2))).toBe("us UNEXPECTED");
  });

  test("a rate is told", () => {
    const talk = asked();
    expect(sent(talk.tell({ kind: "rate", key: 7, perSecond: 3, now: 0 }))).toEqual([
      { type: "RATE", id: 1, perSecond: 3 },
    ]);
    expect(talk.tell({ kind: "rate", key: 8, perSecond: 3, now: 0 })).toEqual([]);
  });
});

describe("the rule of applying", () => {
  test("the next delta starts where the last one led", () => {
    const talk = following();
    expect(deltaIn(delta(talk, { from: 5, to: 9 }, [0, 8])).to).toBe(9);
    // Received, not yet applied: the next may come all the same.
    expect(deltaIn(delta(talk, { from: 9, to: 10, meta: new Uint8Array(0) })).meta).toEqual(
      new Uint8Array(0),
    );
    expect(deltaIn(delta(talk, { from: 10, to: 11 })).chunks).toEqual([]);
  });

  const bad: [string, Partial<DeltaHead>, string][] = [
    ["from an older version", { from: 4, to: 6 }, "us STALE_DELTA"],
    ["from a newer version", { from: 6, to: 7 }, "us STALE_DELTA"],
    ["of another incarnation", { from: 5, to: 6, incarnation: "00".repeat(16) }, "us STALE_DELTA"],
    ["that is full, though nothing is missing", { full: true, to: 9, totalBytes: 10_000 }, "us STALE_DELTA"],
    ["with metadata that are no JSON", { from: 5, to: 6, meta: Buffer.from("{not json") }, "us BAD_MESSAGE"],
    [
      "with metadata that are no text",
      { from: 5, to: 6, meta: Uint8Array.of(34, 255, 34) },
      "us BAD_MESSAGE",
    ],
    ["that repairs what nobody complained of", { from: 5, to: 5, repair: true }, "us UNEXPECTED"],
  ];
  test.each(bad)("a delta %s", (_, head, end) => {
    const talk = following();
    expect(ending(delta(talk, head))).toBe(end);
  });

  test("the same delta twice", () => {
    const talk = following();
    delta(talk, { from: 5, to: 6 }, [0, 8]);
    expect(ending(delta(talk, { from: 5, to: 6 }, [0, 8]))).toBe("us STALE_DELTA");
  });

  test("a delta that is not full, and nothing is there", () => {
    const talk = asked();
    receive(talk, answer());
    expect(ending(delta(talk, { from: 0, to: 5 }, [0, 8]))).toBe("us STALE_DELTA");
  });

  test("a delta before the answer", () => {
    expect(ending(delta(asked(), ...full(5)))).toBe("us UNEXPECTED");
  });

  test("bytes that were not asked for", () => {
    expect(ending(delta(following(), { from: 5, to: 6 }, [9_999, 2]))).toBe("us REGION");
  });

  test("no root where there must be one", () => {
    const talk = asked({ verify: true });
    receive(talk, answer());
    expect(ending(delta(talk, ...full(5)))).toBe("us BAD_MESSAGE");
  });
});

describe("a mismatch", () => {
  /** A verified subscription whose newest delta does not agree with its root. */
  function doubting(): FollowerTalk {
    const talk = following({ verify: true });
    const actions = applied(talk, deltaIn(delta(talk, { from: 5, to: 6, root }, [0, 8])), mismatch);
    expect(actions).toMatchObject([
      { kind: "report", report: { kind: "mismatch", key: 7, version: 6, asked: "repair" } },
      {
        kind: "send",
        message: { type: "HASHES", subscription: 1, first: true, last: true, version: 6, firstLeaf: 0 },
      },
    ]);
    return talk;
  }

  test("is repaired; what was under way is applied without another complaint", () => {
    const talk = doubting();
    const leafHashes = () => expect.unreachable("hashes that nobody is to be sent");
    const underWay = deltaIn(delta(talk, { from: 6, to: 7, root }, [0, 8]));
    expect(applied(talk, underWay, { kind: "mismatch", leafHashes })).toEqual([]);
    const repair = deltaIn(delta(talk, { from: 7, to: 7, repair: true, root }, [0, 4096]));
    expect(repair.repair).toBeTrue();
    expect(applied(talk, repair, { kind: "ok" })).toEqual([
      { kind: "report", report: { kind: "mended", key: 7, by: "repair" } },
    ]);
    // From now on a mismatch is a new one.
    const next = applied(talk, deltaIn(delta(talk, { from: 7, to: 8, root })), mismatch);
    expect(kinds(next)).toEqual(["report", "send"]);
  });

  test("the same repair twice is refused", () => {
    const talk = doubting();
    delta(talk, { from: 6, to: 6, repair: true, root }, [0, 8]);
    expect(ending(delta(talk, { from: 6, to: 6, repair: true, root }, [0, 8]))).toBe("us UNEXPECTED");
  });

  test("after a repair leads to everything anew; after that the link is given up", () => {
    const talk = doubting();
    const repair = deltaIn(delta(talk, { from: 6, to: 6, repair: true, root }));
    const actions = applied(talk, repair, mismatch);
    expect(actions).toMatchObject([
      { kind: "report", report: { kind: "mismatch", version: 6, asked: "full" } },
      { kind: "send", message: { type: "UNSUBSCRIBE", id: 1 } },
      { kind: "send", message: { type: "SUBSCRIBE", id: 2, have: null, verify: true } },
    ]);
    expect(delta(talk, { from: 6, to: 7, root })).toMatchObject([{ report: { kind: "late" } }]);
    receive(talk, answer({ id: 2 }));
    const anew = deltaIn(delta(talk, { full: true, to: 8, root }, [0, 10_000], 2));
    expect(applied(talk, repair, mismatch)).toEqual([]); // an answer for the old subscription
    expect(ending(applied(talk, anew, mismatch))).toBe("us MISMATCH");
  });

  test("that ends with the full delta is mended", () => {
    const talk = following({ verify: true });
    const wrong = deltaIn(delta(talk, { from: 5, to: 6, root }));
    applied(talk, wrong, { kind: "mismatch", leafHashes: null }); // the owner wants everything at once
    receive(talk, answer({ id: 2 }));
    const anew = deltaIn(delta(talk, { full: true, to: 8, root }, [0, 10_000], 2));
    expect(applied(talk, anew, { kind: "ok" })).toEqual([
      { kind: "report", report: { kind: "mended", key: 7, by: "full" } },
    ]);
  });

  test("of a large subscription is told in several frames", () => {
    const bytes = 4096 * 20_000;
    const talk = asked({ verify: true, bytes, have: { incarnation, version: 5 } });
    receive(talk, answer({ bytes, resumed: true }));
    const wrong = deltaIn(delta(talk, { from: 5, to: 6, root }));
    const leafHashes = Uint8Array.from({ length: 20_000 * 32 }, (_, index) => index >>> 5);
    const hashes = sent(applied(talk, wrong, { kind: "mismatch", leafHashes: () => leafHashes }));
    const parts = hashes.map((message) =>
      message.type === "HASHES" ? [message.first, message.last, message.firstLeaf] : [],
    );
    expect(parts).toEqual([
      [true, false, 0],
      [false, false, 8191],
      [false, true, 16_382],
    ]);
    for (const message of hashes) expect(frameOf(message).payload.length).toBeLessThanOrEqual(262_144);
  });

  test("with hashes of the wrong length is the owner's mistake", () => {
    const talk = following({ verify: true });
    const wrong = deltaIn(delta(talk, { from: 5, to: 6, root }));
    const leafHashes = () => new Uint8Array(32);
    expect(() => applied(talk, wrong, { kind: "mismatch", leafHashes })).toThrow("leaf hashes");
  });
});
