import { describe, expect, test } from "bun:test";
import { ProtocolFault } from "../../src/protocol/fault.ts";
import { publisherDeadline } from "../../src/protocol/publisher.ts";
import { ask, deliver, ending, hashes, openPublisher, receive, subscribed } from "./talk.ts";

const conflated = (versions: number) => ({
  kind: "report",
  report: { kind: "conflated", subscription: 1, versions },
});

describe("delivering", () => {
  test("one delta at a time: what is committed meanwhile goes with the next", () => {
    const talk = subscribed();
    for (let version = 6; version <= 100_000; version++) {
      expect(talk.tell({ kind: "committed", version, now: version })).toEqual([]);
    }
    expect(talk.tell({ kind: "deltaSent", subscription: 1, to: 5, now: 1 })).toEqual([deliver(5)]);
    expect(talk.tell({ kind: "deltaSent", subscription: 1, to: 100_000, now: 2 })).toEqual([
      conflated(99_994) as never,
    ]);
    expect(talk.tell({ kind: "committed", version: 100_001, now: 3 })).toEqual([deliver(100_000)]);
  });

  test("nothing begins while the link is full", () => {
    const talk = subscribed();
    talk.tell({ kind: "deltaSent", subscription: 1, to: 5, now: 0 });
    talk.tell({ kind: "unwritable", now: 0 });
    expect(talk.tell({ kind: "committed", version: 6, now: 1 })).toEqual([]);
    expect(talk.tell({ kind: "committed", version: 9, now: 2 })).toEqual([]);
    expect(talk.tell({ kind: "writable", now: 3 })).toEqual([deliver(5)]);
    expect(talk.tell({ kind: "writable", now: 3 })).toEqual([]);
  });

  test("a commit concerns only those it names", () => {
    const talk = subscribed();
    talk.tell({ kind: "deltaSent", subscription: 1, to: 5, now: 0 });
    expect(talk.tell({ kind: "committed", version: 6, subscriptions: [], now: 0 })).toEqual([]);
    expect(talk.tell({ kind: "committed", version: 7, subscriptions: [2, 3], now: 0 })).toEqual([]);
    expect(talk.tell({ kind: "committed", version: 8, subscriptions: [1], now: 0 })).toEqual([deliver(5)]);
  });

  test("a delta that would be empty may be left out; the next starts where the last one led", () => {
    const talk = subscribed();
    talk.tell({ kind: "deltaSent", subscription: 1, to: 5, now: 0 });
    talk.tell({ kind: "committed", version: 6, now: 0 });
    expect(talk.tell({ kind: "nothingToSend", subscription: 1, version: 6, now: 0 })).toEqual([]);
    expect(talk.tell({ kind: "tick", now: 1 })).toEqual([]);
    expect(talk.tell({ kind: "committed", version: 7, now: 0 })).toEqual([deliver(5)]);
    talk.tell({ kind: "committed", version: 8, now: 0 });
    expect(talk.tell({ kind: "nothingToSend", subscription: 1, version: 7, now: 0 })).toEqual([deliver(5)]);
  });

  test.each([Number.MIN_VALUE, 1e-300])(
    "the lowest of all rates, %p, has a first delta and a deadline",
    (rate) => {
      const talk = openPublisher();
      receive(talk, { ...ask, maxRate: rate }, 0);
      const accepted = { kind: "subscriptionAccepted", subscription: 1, bytes: 10_000, now: 0 } as const;
      expect(talk.tell(accepted)).toContainEqual(deliver(0, true));
      talk.tell({ kind: "deltaSent", subscription: 1, to: 5, now: 0 });
      talk.tell({ kind: "committed", version: 6, now: 0 });
      expect(publisherDeadline(talk.state)).toBe(5000);
      receive(talk, { type: "RATE", id: 1, perSecond: rate }, 0);
      expect(publisherDeadline(talk.state)).toBe(5000);
      talk.tell({ kind: "tick", now: 5000 });
      expect(ending(talk.tell({ kind: "tick", now: 10_000 }))).toBe("us TIMEOUT");
    },
  );

  test("maxRate: deltas keep their distance, the newest state comes when the time is there", () => {
    const talk = subscribed({ maxRate: 10 }); // began at 0
    talk.tell({ kind: "deltaSent", subscription: 1, to: 5, now: 1 });
    expect(publisherDeadline(talk.state)).toBe(5000); // nothing to send: only the heartbeat
    expect(talk.tell({ kind: "committed", version: 6, now: 20 })).toEqual([]);
    expect(publisherDeadline(talk.state)).toBe(100);
    expect(talk.tell({ kind: "committed", version: 7, now: 30 })).toEqual([]);
    expect(talk.tell({ kind: "tick", now: 99 })).toEqual([]);
    expect(talk.tell({ kind: "tick", now: 100 })).toEqual([deliver(5)]);
    talk.tell({ kind: "deltaSent", subscription: 1, to: 7, now: 101 });
    talk.tell({ kind: "committed", version: 8, now: 102 });
    // Changed while it runs, both ways.
    expect(receive(talk, { type: "RATE", id: 1, perSecond: 2 }, 103)).toEqual([]);
    expect(publisherDeadline(talk.state)).toBe(600);
    expect(receive(talk, { type: "RATE", id: 1, perSecond: null }, 104)).toEqual([deliver(7)]);
    talk.tell({ kind: "unwritable", now: 105 });
    expect(publisherDeadline(talk.state)).toBe(5000);
  });

  test("a subscription that this side has ended does not go faster for being asked for anew", () => {
    const talk = subscribed({ maxRate: 10 });
    talk.tell({ kind: "deltaSent", subscription: 1, to: 5, now: 1 });
    talk.tell({ kind: "committed", version: 6, now: 100 });
    const fault = new ProtocolFault("LIMIT", "too slow");
    talk.tell({ kind: "subscriptionRefused", subscription: 1, fault, now: 120 });
    receive(talk, { ...ask, id: 2, maxRate: 10 }, 130);
    talk.tell({ kind: "subscriptionAccepted", subscription: 2, bytes: 1, now: 130 });
    expect(talk.tell({ kind: "tick", now: 199 })).toEqual([]);
    expect(talk.tell({ kind: "tick", now: 200 })).toMatchObject([{ kind: "deliver", subscription: 2 }]);
  });

  test("a rate that arrives before the owner has decided counts", () => {
    const talk = openPublisher();
    receive(talk, ask, 0);
    expect(receive(talk, { type: "RATE", id: 1, perSecond: 1 }, 0)).toEqual([]);
    talk.tell({ kind: "subscriptionAccepted", subscription: 1, bytes: 1, now: 0 });
    talk.tell({ kind: "deltaSent", subscription: 1, to: 5, now: 0 });
    expect(talk.tell({ kind: "committed", version: 6, now: 1 })).toEqual([]);
    expect(talk.tell({ kind: "tick", now: 1000 })).toEqual([deliver(5)]);
  });

  test("an owner that reports what was never asked for is told so at once", () => {
    const talk = subscribed();
    talk.tell({ kind: "deltaSent", subscription: 1, to: 5, now: 0 });
    expect(() => talk.tell({ kind: "deltaSent", subscription: 1, to: 6, now: 0 })).toThrow(
      "nobody asked for",
    );
    expect(() => talk.tell({ kind: "nothingToSend", subscription: 1, version: 6, now: 0 })).toThrow(
      "left out",
    );
  });
});

describe("repairing", () => {
  test("hashes lead to one repair from what was sent", () => {
    const talk = subscribed();
    talk.tell({ kind: "deltaSent", subscription: 1, to: 5, now: 0 });
    talk.tell({ kind: "committed", version: 6, now: 0 });
    talk.tell({ kind: "deltaSent", subscription: 1, to: 6, now: 0 });
    const actions = receive(talk, hashes(), 1);
    const repair = {
      kind: "repair",
      subscription: 1,
      from: 6,
      version: 5,
      leafHashes: new Uint8Array(96).fill(7),
    };
    expect(actions).toEqual([
      { kind: "report", report: { kind: "repairAsked", subscription: 1, version: 5 } },
      repair as never,
    ]);
    talk.tell({ kind: "committed", version: 7, now: 2 });
    expect(talk.tell({ kind: "deltaSent", subscription: 1, to: 6, now: 3 })).toEqual([deliver(6)]);
  });

  test("a delta under way is finished first, and the repair comes before the next one", () => {
    const talk = subscribed({ maxRate: 1 });
    talk.tell({ kind: "deltaSent", subscription: 1, to: 5, now: 0 });
    talk.tell({ kind: "committed", version: 6, now: 1000 });
    expect(receive(talk, hashes(), 1001)).toHaveLength(1);
    talk.tell({ kind: "committed", version: 7, now: 1001 });
    const [repair] = talk.tell({ kind: "deltaSent", subscription: 1, to: 6, now: 1002 });
    expect(repair).toMatchObject({ kind: "repair", from: 6, version: 5 });
  });

  test.each([
    ["of a version that was never sent", hashes({ version: 6 }), "us BAD_MESSAGE"],
    ["with too few leaves", hashes({ hashes: new Uint8Array(64) }), "us BAD_MESSAGE"],
    ["with too many leaves", hashes({ hashes: new Uint8Array(128) }), "us BAD_MESSAGE"],
    ["that start in the middle", hashes({ first: false, firstLeaf: 1 }), "us BAD_MESSAGE"],
  ] as const)("hashes %s", (_, message, end) => {
    const talk = subscribed();
    talk.tell({ kind: "deltaSent", subscription: 1, to: 5, now: 0 });
    expect(ending(receive(talk, message, 0))).toBe(end);
  });

  test("hashes that nobody waits for", () => {
    const unverified = subscribed({ verify: false });
    unverified.tell({ kind: "deltaSent", subscription: 1, to: 5, now: 0 });
    expect(ending(receive(unverified, hashes(), 0))).toBe("us UNEXPECTED");
    const twice = subscribed();
    twice.tell({ kind: "deltaSent", subscription: 1, to: 5, now: 0 });
    receive(twice, hashes(), 0);
    expect(ending(receive(twice, hashes(), 0))).toBe("us UNEXPECTED");
    const early = openPublisher();
    receive(early, ask, 0);
    expect(ending(receive(early, hashes(), 0))).toBe("us UNEXPECTED");
  });
});
