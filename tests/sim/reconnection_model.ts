import fc from "fast-check";
import type { Delta } from "../../src/protocol/assembly.ts";
import { crc32c } from "../../src/protocol/crc32c.ts";
import { deltaFrame, encodeDeltaPart } from "../../src/protocol/encode.ts";
import { newFollower, stepFollower } from "../../src/protocol/follower.ts";
import type { FollowerAction, FollowerEvent, FollowerState } from "../../src/protocol/follower_state.ts";
import type { Frame } from "../../src/protocol/messages.ts";
import { newPublisher, stepPublisher } from "../../src/protocol/publisher.ts";
import type { PublisherAction, PublisherEvent, PublisherState } from "../../src/protocol/publisher_state.ts";
import type { Mangle } from "./models.ts";
import { followerConfig, frameOf, publisherConfig, request, unframed } from "../protocol/talk.ts";

const operations = [
  "commit",
  "up",
  "down",
  "send",
  "apply",
  "run",
  "cut",
  "connect",
  "reboot",
  "restart",
  "full",
] as const;

type Operation = readonly [(typeof operations)[number], number];

export const reconnectionSchedule = fc.array(fc.tuple(fc.constantFrom(...operations), fc.nat(99)), {
  maxLength: 60,
  size: "max",
});

/** A state of the publisher, as the eight bytes that are followed: which of its lives, and which version. */
interface Point {
  readonly life: number;
  readonly version: number;
}

const dataBytes = 8;
const incarnationOf = (life: number) => life.toString(16).padStart(32, "0");

/**
 * Resuming by the book: a follower has a point, a publisher is at one. Who has a point of the same life goes on from there; everybody
 * else begins anew; and a point is reached by no other way than from the one before.
 */
class Reconnection {
  #publisher: PublisherState = newPublisher(publisherConfig);
  #follower: FollowerState = newFollower(followerConfig);
  #here: Point = { life: 1, version: 0 };
  #have: Point | null = null;
  /** What the publisher has sent all of on this link; null: nothing yet. */
  #sent: number | null = null;
  #delivering: { readonly id: number; readonly from: number; readonly full: boolean } | null = null;
  #applying: Delta[] = [];
  #up: Frame[] = [];
  #down: Frame[] = [];
  #isLinked = false;
  #mayResume = true;
  readonly #mangle: Mangle;
  #links = 0;
  #lives = 1;

  constructor(mangle: Mangle) {
    this.#mangle = mangle;
  }

  perform([operation, number]: Operation): void {
    switch (operation) {
      case "commit":
        return this.#commit();
      case "up":
        return this.#carryUp();
      case "down":
        return this.#carryDown();
      case "send":
        return this.#send();
      case "apply":
        return this.#apply();
      case "run":
        for (let i = 0; i < number % 10; i++) this.#turn();
        return;
      case "cut":
        return this.#cut();
      case "connect":
        return this.#connect();
      case "restart":
      case "reboot":
        this.#cut();
        if (operation === "reboot") this.#here = { life: ++this.#lives, version: number % 5 };
        return;
      case "full":
        this.#mayResume = number % 2 === 0;
    }
  }

  /** No more losses: in a few turns the follower is where the publisher is. */
  finish(): void {
    this.#connect();
    for (let i = 0; i < 30; i++) this.#turn();
    this.#commit();
    for (let i = 0; i < 10; i++) this.#turn();
    const { life, version } = this.#here;
    if (this.#have?.life !== life || this.#have.version !== version)
      throw new Error(`ends at ${JSON.stringify(this.#have)} instead of ${JSON.stringify(this.#here)}`);
  }

  #turn(): void {
    this.#carryUp();
    this.#send();
    this.#carryDown();
    this.#apply();
  }

  #commit(): void {
    this.#here = { ...this.#here, version: this.#here.version + 1 };
    if (this.#isLinked) this.#tellPublisher({ kind: "committed", version: this.#here.version, now: 0 });
  }

  #connect(): void {
    if (this.#isLinked) return;
    this.#isLinked = true;
    this.#up = [];
    this.#down = [];
    this.#applying = [];
    this.#delivering = null;
    this.#sent = null;
    const { life, version } = this.#here;
    this.#publisher = newPublisher({ ...publisherConfig, incarnation: incarnationOf(life) });
    this.#follower = newFollower(followerConfig);
    const nonce = (++this.#links).toString(16).padStart(64, "0");
    this.#tellPublisher({ kind: "opened", nonce, version, now: 0 });
    this.#tellFollower({ kind: "opened", nonce, now: 0 });
  }

  #cut(): void {
    if (!this.#isLinked) return;
    this.#isLinked = false;
    this.#tellPublisher({ kind: "linkClosed", now: 0 });
    this.#tellFollower({ kind: "linkClosed", now: 0 });
  }

  #carryUp(): void {
    const frame = this.#isLinked ? this.#up.shift() : undefined;
    if (frame) this.#tellPublisher({ kind: "frame", frame, now: 0 });
  }

  #carryDown(): void {
    const frame = this.#isLinked ? this.#down.shift() : undefined;
    if (frame) this.#tellFollower({ kind: "frame", frame, now: 0 });
  }

  #tellPublisher(given: PublisherEvent): void {
    const event = this.#mangle(given) as PublisherEvent | null;
    if (event === null) return;
    const [state, actions] = stepPublisher(this.#publisher, event);
    this.#publisher = state;
    for (const action of actions) this.#publisherDoes(action);
  }

  #tellFollower(given: FollowerEvent): void {
    const event = this.#mangle(given) as FollowerEvent | null;
    if (event === null) return;
    const [state, actions] = stepFollower(this.#follower, event);
    this.#follower = state;
    for (const action of actions) this.#followerDoes(action);
  }

  #publisherDoes(action: PublisherAction): void {
    switch (action.kind) {
      case "send":
        this.#down.push(frameOf(action.message));
        return;
      case "acceptSubscription": {
        const { subscription } = action;
        this.#sent = this.#resumeFrom();
        if (action.resume !== (this.#canResume() ? this.#have!.version : null))
          this.#differ("may resume", action.resume);
        const resume = this.#mayResume;
        this.#tellPublisher({ kind: "subscriptionAccepted", subscription, bytes: dataBytes, resume, now: 0 });
        return;
      }
      case "deliver": {
        const { subscription: id, from, full } = action;
        if (full !== (this.#sent === null) || from !== (this.#sent ?? 0)) this.#differ("delivers from", from);
        this.#delivering = { id, from, full };
        return;
      }
      case "close":
        if (action.cause.kind !== "cut") this.#differ("closes", action.cause);
    }
  }

  #canResume(): boolean {
    return this.#have?.life === this.#here.life;
  }

  #resumeFrom(): number | null {
    return this.#canResume() && this.#mayResume ? this.#have!.version : null;
  }

  /** Hands the delta that was asked for to the link: of the newest version. */
  #send(): void {
    if (!this.#isLinked || this.#delivering === null) return;
    const { id, from, full } = this.#delivering;
    const { life, version: to } = this.#here;
    const data = new Uint8Array(dataBytes);
    new Uint32Array(data.buffer).set([life, to]);
    const whole = {
      incarnation: incarnationOf(life),
      from,
      to,
      full,
      repair: false,
      meta: undefined,
      root: undefined,
    };
    const head = { ...whole, totalBytes: dataBytes };
    const content = { head, last: true, runs: Float64Array.of(0, dataBytes), data: [data] };
    this.#down.push(unframed(deltaFrame(id, encodeDeltaPart(crc32c, content))));
    this.#delivering = null;
    this.#sent = to;
    this.#tellPublisher({ kind: "deltaSent", subscription: id, to, now: 0 });
  }

  #followerDoes(action: FollowerAction): void {
    switch (action.kind) {
      case "send":
        this.#up.push(frameOf(action.message));
        return;
      case "welcome": {
        const have = this.#have && {
          incarnation: incarnationOf(this.#have.life),
          version: this.#have.version,
        };
        const inside = (offset: number, bytes: number) => offset + bytes <= dataBytes;
        this.#tellFollower({
          kind: "subscribe",
          request: { ...request, have, bytes: dataBytes, inside },
          now: 0,
        });
        return;
      }
      case "apply":
        this.#applying.push(action.delta);
        return;
      case "close":
        if (action.cause.kind !== "cut") this.#differ("closes", action.cause);
    }
  }

  /** The owner is slow: what has not been applied when the link is lost was never there. */
  #apply(): void {
    const delta = this.#isLinked ? this.#applying.shift() : undefined;
    if (!delta) return;
    const { data } = delta.chunks[0]!;
    const [life, version] = new Uint32Array(data.slice().buffer);
    const have = this.#have;
    if (incarnationOf(life!) !== delta.incarnation || version !== delta.to) this.#differ("brings", delta.to);
    if (!delta.full && (have?.life !== life || have?.version !== delta.from))
      this.#differ("starts from", delta.from);
    if (have?.life === life && version! < have!.version) this.#differ("goes back to", version);
    this.#have = { life: life!, version: version! };
    this.#tellFollower({ kind: "applied", delta, version: version!, outcome: { kind: "ok" }, now: 0 });
  }

  #differ(what: string, value: unknown): never {
    const about = { here: this.#here, have: this.#have, sent: this.#sent };
    throw new Error(`it ${what} ${JSON.stringify(value)}, where ${JSON.stringify(about)}`);
  }
}

export function checkReconnection(schedule: readonly Operation[], mangle: Mangle): void {
  const world = new Reconnection(mangle);
  for (const operation of schedule) world.perform(operation);
  world.finish();
}
