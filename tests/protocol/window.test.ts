import { describe, expect, test } from "bun:test";
import type { PublisherOpen } from "../../src/protocol/publisher_state.ts";
import { publisherDeadline } from "../../src/protocol/publisher.ts";
import { unreadMax } from "../../src/protocol/window.ts";
import { ask, openPublisher, receive, sent } from "./talk.ts";

const modes = ["latest", "every"] as const;

/** A follower of what is there that has read nothing since; `commit` makes a version and says whether it was sent. */
function follower(mode: (typeof modes)[number]) {
  const talk = openPublisher({ modes });
  receive(talk, { ...ask, mode }, 0);
  talk.tell({ kind: "subscriptionAccepted", subscription: 1, bytes: 100, now: 0 });
  talk.tell({ kind: "deltaSent", subscription: 1, to: 5, now: 0 });
  let version = 5;
  const pings: Uint8Array[] = [];
  const isSent = (actions: readonly { kind: string }[]) => actions.some(({ kind }) => kind === "deliver");
  const carried = (): void => {
    for (const message of sent(talk.tell({ kind: "deltaSent", subscription: 1, to: version, now: 1 })))
      if (message.type === "PING") pings.push(message.opaque);
  };
  return {
    talk,
    pings,
    commit(): boolean {
      const hasGone = isSent(talk.tell({ kind: "committed", version: ++version, now: 1 }));
      if (hasGone) carried();
      return hasGone;
    },
    answer(opaque: Uint8Array): boolean {
      const hasGone = isSent(receive(talk, { type: "PONG", opaque }, 1));
      if (hasGone) carried();
      return hasGone;
    },
  };
}

describe("deltas that may be unread", () => {
  test("are so many; what is committed then goes with the first that there is room for", () => {
    const { talk, commit, answer, pings } = follower("latest");
    const gone = Array.from({ length: 3 * unreadMax }, commit).filter(Boolean).length;
    expect(gone).toBe(unreadMax - 1); // and the first state
    expect(pings).toHaveLength(2);
    expect(answer(pings[0]!)).toBe(true);
    expect(talk.state).toMatchObject({ window: { sent: unreadMax + 1, read: unreadMax / 2 } });
    expect(commit()).toBe(true);
  });

  test("are counted from the last PONG, whichever are left out", () => {
    const { commit, answer, pings } = follower("latest");
    while (commit());
    expect(answer(pings.at(-1)!)).toBe(true);
    expect(Array.from({ length: unreadMax - 1 }, commit).every(Boolean)).toBe(true);
    expect(commit()).toBe(false);
  });

  test("do not shut out the mode every, which does not count", () => {
    const { talk, commit, pings } = follower("every");
    expect(Array.from({ length: 3 * unreadMax }, commit).every(Boolean)).toBe(true);
    expect(pings).toEqual([]);
    expect(talk.state).toMatchObject({ window: { sent: 0, marks: [] } });
  });

  test("of one subscription do not wait for those of another in the mode every", () => {
    const { talk, commit } = follower("every");
    receive(talk, { ...ask, id: 2 }, 1);
    talk.tell({ kind: "subscriptionAccepted", subscription: 2, bytes: 100, now: 1 });
    talk.tell({ kind: "deltaSent", subscription: 2, to: 5, now: 1 });
    for (let i = 0; i < 3 * unreadMax; i++) commit();
    const state = talk.state as PublisherOpen;
    expect(state.subscriptions.get(2)).toMatchObject({ flight: "delta" });
    expect(state.window).toMatchObject({ sent: 1, marks: [] });
  });

  test("tell the round trip, although the newest PING is hardly ever the one that is answered", () => {
    const { talk, commit, pings } = follower("latest");
    while (commit());
    const actions = receive(talk, { type: "PONG", opaque: pings[0]! }, 41);
    expect(actions).toContainEqual({ kind: "report", report: { kind: "roundTrip", ms: 40 } });
  });

  test("while they are so many, nothing is due: no timer in the past", () => {
    const { talk, commit } = follower("latest");
    while (commit());
    expect(publisherDeadline(talk.state)).toBeGreaterThan(1);
    expect(talk.tell({ kind: "tick", now: 2 })).toEqual([]);
  });

  test("are not read because a PONG has a number that was never asked", () => {
    const { talk, commit, answer } = follower("latest");
    while (commit());
    expect(answer(new Uint8Array(8).fill(1))).toBe(false);
    expect(answer(new Uint8Array(8).fill(255))).toBe(false);
    expect(talk.state.phase).toBe("open");
  });
});
