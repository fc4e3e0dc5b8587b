import { describe, expect, test } from "bun:test";
import {
  answered,
  beat,
  heard,
  heartbeat,
  heartbeatDeadline,
  pingBytes,
} from "../../src/protocol/heartbeat.ts";
import { publisherDeadline } from "../../src/protocol/publisher.ts";
import { ending, frameOf, openFollower, openPublisher, sent } from "./talk.ts";

/** Ticks exactly when asked for, hears nothing; the time at which the peer is given up. */
function deathOf(life: ReturnType<typeof heartbeat>): { pings: number; at: number } {
  for (let pings = 0; ;) {
    const at = heartbeatDeadline(life);
    const result = beat(life, at);
    if (result.kind === "dead") return { pings, at };
    if (result.kind === "ping") pings++;
    life = result.life;
  }
}

describe("heartbeat", () => {
  test("a silent peer is asked once and dead after two periods", () => {
    expect(deathOf(heartbeat(5000, 0))).toEqual({ pings: 1, at: 10_000 });
    const heardLate = heard(heartbeat(5000, 0), 4000);
    expect(deathOf(heardLate).at).toBe(14_000);
  });

  test("PINGs go out every period whatever is heard", () => {
    let life = heartbeat(5000, 0);
    const pings: number[] = [];
    for (let now = 0; now <= 20_000; now += 100) {
      life = heard(life, now);
      const result = beat(life, now);
      if (result.kind === "dead") throw new Error("dead");
      if (result.kind === "ping") pings.push(now);
      life = result.life;
    }
    expect(pings).toEqual([5000, 10_000, 15_000, 20_000]);
  });

  test("our own absence is not the peer's silence", () => {
    const life = heartbeat(5000, 0);
    const back = beat(life, 60_000);
    if (back.kind !== "ping") throw new Error(back.kind);
    expect(deathOf(back.life).at).toBe(65_000);
    expect(beat(life, 7_000).kind).toBe("ping"); // a little late is not away
  });

  test("a clock that goes back does no harm", () => {
    const life = heard(heartbeat(5000, 10_000), 2_000);
    expect(life.heardAt).toBe(10_000);
    expect(beat(life, 2_000).kind).toBe("quiet");
  });

  test("only the answer to the newest PING tells the round trip", () => {
    const asked = beat(heartbeat(5000, 0), 5000);
    if (asked.kind !== "ping") throw new Error(asked.kind);
    expect(answered(asked.life, new Uint8Array(8), 5010).ms).toBeNull();
    const right = answered(asked.life, pingBytes(asked.life), 5012);
    expect(right.ms).toBe(12);
    expect(answered(right.life, pingBytes(asked.life), 5013).ms).toBeNull();
  });

  test.each(["publisher", "follower"] as const)("%s: PING, PONG, death", (side) => {
    const talk = side === "publisher" ? openPublisher() : openFollower();
    const ping = sent(talk.tell({ kind: "tick", now: 5000 }));
    expect(ping).toMatchObject([{ type: "PING" }]);
    const opaque = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
    const pong = talk.tell({ kind: "frame", frame: frameOf({ type: "PING", opaque }), now: 5000 });
    expect(sent(pong)).toEqual([{ type: "PONG", opaque }]);
    const [asked] = ping;
    if (asked?.type !== "PING") throw new Error("no PING");
    const answer = talk.tell({ kind: "frame", frame: frameOf({ ...asked, type: "PONG" }), now: 5080 });
    expect(answer).toEqual([{ kind: "report", report: { kind: "roundTrip", ms: 80 } }]);
    expect(sent(talk.tell({ kind: "tick", now: 10_000 }))).toMatchObject([{ type: "PING" }]);
    talk.tell({ kind: "heard", now: 12_000 }); // half a frame is a sign of life
    expect(ending(talk.tell({ kind: "tick", now: 15_080 }))).toBe("not at all");
    expect(ending(talk.tell({ kind: "tick", now: 22_000 }))).toBe("us TIMEOUT");
  });

  test("a peer that asks and never reads is held to a limit", () => {
    const talk = openPublisher();
    talk.tell({ kind: "unwritable", now: 0 });
    for (let index = 0; index < 5000; index++) {
      const frame = frameOf({ type: "PING", opaque: new Uint8Array(8).fill(index) });
      expect(talk.tell({ kind: "frame", frame, now: 0 })).toEqual([]);
    }
    // One answer waits, to the newest.
    const opaque = new Uint8Array(8).fill(4999);
    expect(sent(talk.tell({ kind: "writable", now: 1 }))).toEqual([{ type: "PONG", opaque }]);
    expect(sent(talk.tell({ kind: "writable", now: 1 }))).toEqual([]);

    talk.tell({ kind: "unwritable", now: 1 });
    const ask = (id: number) => ({
      type: "SUBSCRIBE" as const,
      id,
      regions: [{ array: null, start: [0], shape: [1] }],
      mode: "every" as const,
      verify: false,
      maxRate: null,
      have: null,
    });
    for (let id = 1; id <= 1024; id++) talk.tell({ kind: "frame", frame: frameOf(ask(id)), now: 1 });
    expect(talk.state.phase).toBe("open");
    expect(ending(talk.tell({ kind: "frame", frame: frameOf(ask(1025)), now: 1 }))).toBe("us LIMIT");
  });

  test("deadline of an open publisher is the heartbeat's", () => {
    const talk = openPublisher();
    expect(publisherDeadline(talk.state)).toBe(5000);
  });
});
