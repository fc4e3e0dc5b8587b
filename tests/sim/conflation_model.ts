import fc from "fast-check";
import { ProtocolFault } from "../../src/protocol/fault.ts";
import { newPublisher, publisherDeadline, stepPublisher } from "../../src/protocol/publisher.ts";
import type { PublisherAction, PublisherEvent, PublisherState } from "../../src/protocol/publisher_state.ts";
import type { Message, SubscribeMessage } from "../../src/protocol/messages.ts";
import type { Mangle } from "./models.ts";
import {
  ask,
  followerConfig,
  followerNonce,
  frameOf,
  publisherConfig,
  publisherNonce,
} from "../protocol/talk.ts";

const overflow = new ProtocolFault("LIMIT", "too slow");

/** What there is to know of one subscription: which commits it was told of, and which of them it has. */
interface Wanting {
  readonly id: number;
  /** Versions that concern it and that no delta has brought; its first state is the version 0. */
  unsent: number[];
  /** The version that the follower has; null: none. */
  has: number | null;
  /** The version that the delta under way leads to; null: none is under way. */
  flight: number | null;
  begunAt: number;
  gapMs: number;
}

const operations = [
  "commit",
  "all",
  "sent",
  "nothing",
  "full",
  "room",
  "wait",
  "rate",
  "leave",
  "join",
  "end",
] as const;

type Operation = readonly [(typeof operations)[number], number];

export const conflationSchedule = fc.array(fc.tuple(fc.constantFrom(...operations), fc.nat(999)), {
  maxLength: 60,
  size: "max",
});

/**
 * Conflation by the book: a list of commits for every subscription, against the session that has two numbers. After each step both must
 * have begun the same deliveries.
 */
class Conflation {
  #state: PublisherState = newPublisher(publisherConfig);
  #actions: PublisherAction[] = [];
  readonly #wanting = new Map<number, Wanting>();
  #version = 5;
  #now = 0;
  #isFull = false;
  #lastId = 0;
  /** Of subscriptions that the publisher ended: the next one does not go faster than they did. */
  #endedAt = Number.NEGATIVE_INFINITY;

  readonly #mangle: Mangle;

  constructor(mangle: Mangle) {
    this.#mangle = mangle;
    const { node, nodeId } = followerConfig;
    this.#tell({ kind: "opened", nonce: publisherNonce, version: this.#version, now: 0 });
    this.#hear({ type: "HELLO", magic: "memblast", protocol: [1, 0], node, nodeId, features: [] });
    this.#hear({ type: "AUTH", nonce: followerNonce });
    this.#actions = [];
  }

  #tell(given: PublisherEvent): void {
    const event = this.#mangle(given) as PublisherEvent | null;
    if (event === null) return;
    const [state, actions] = stepPublisher(this.#state, event);
    this.#state = state;
    this.#actions.push(...actions);
  }

  #hear(message: Message): void {
    this.#tell({ kind: "frame", frame: frameOf(message), now: this.#now });
  }

  perform([operation, number]: Operation): void {
    const ids = [...this.#wanting.keys()];
    const chosen = this.#wanting.get(ids[number % Math.max(1, ids.length)] ?? 0);
    this.#actions = [];
    const reports: number[] = [];
    if (operation === "commit" || operation === "all") this.#commit(operation === "all" ? null : number, ids);
    else if (operation === "full" || operation === "room") this.#room(operation === "full");
    else if (operation === "wait") this.#wait(number * 3);
    else if (operation === "join") this.#join(number);
    else if (chosen) this.#change(operation, chosen, number, reports);
    this.#compare(reports);
  }

  #commit(number: number | null, ids: readonly number[]): void {
    const version = ++this.#version;
    const concerned = ids.filter((id) => number === null || (number >> (id % 8)) % 2 === 1);
    for (const id of concerned) this.#wanting.get(id)!.unsent.push(version);
    this.#tell({
      kind: "committed",
      version,
      ...(number !== null && { subscriptions: concerned }),
      now: this.#now,
    });
  }

  #room(isFull: boolean): void {
    this.#isFull = isFull;
    this.#tell({ kind: isFull ? "unwritable" : "writable", now: this.#now });
  }

  #wait(ms: number): void {
    this.#now += ms;
    this.#tell({ kind: "heard", now: this.#now });
    const deadline = publisherDeadline(this.#state)!;
    if (deadline <= this.#now) this.#tell({ kind: "tick", now: this.#now });
  }

  #join(number: number): void {
    if (this.#wanting.size === 3) return;
    const id = ++this.#lastId;
    const maxRate = number % 3 === 0 ? 1 + (number % 20) : null;
    const has = number % 2 === 0 ? Math.max(0, this.#version - (number % 7)) : null;
    const have = has === null ? null : { incarnation: publisherConfig.incarnation, version: has };
    const request: SubscribeMessage = { ...ask, id, maxRate, have, verify: false };
    this.#hear(request);
    this.#tell({ kind: "subscriptionAccepted", subscription: id, bytes: 100, now: this.#now });
    // Whoever resumes is told of all that it missed, whether it concerns it or not.
    const unsent = has === null ? [0] : has < this.#version ? [this.#version] : [];
    const gapMs = maxRate === null ? 0 : 1000 / maxRate;
    this.#wanting.set(id, { id, unsent, has, flight: null, begunAt: this.#endedAt, gapMs });
  }

  #change(operation: Operation[0], wanting: Wanting, number: number, reports: number[]): void {
    const { id, flight } = wanting;
    const now = this.#now;
    switch (operation) {
      case "sent":
        if (flight === null) return;
        if (wanting.has !== null && flight - wanting.has > 1) reports.push(flight - wanting.has - 1);
        wanting.has = flight;
        wanting.unsent = wanting.unsent.filter((version) => version > flight);
        wanting.flight = null;
        return this.#tell({ kind: "deltaSent", subscription: id, to: flight, now });
      case "nothing":
        if (flight === null || wanting.has === null) return;
        wanting.unsent = wanting.unsent.filter((version) => version > flight);
        wanting.flight = null;
        return this.#tell({ kind: "nothingToSend", subscription: id, version: flight, now });
      case "rate": {
        const perSecond = number % 4 === 0 ? null : 1 + (number % 50);
        wanting.gapMs = perSecond === null ? 0 : 1000 / perSecond;
        return this.#hear({ type: "RATE", id, perSecond });
      }
      case "leave":
        this.#wanting.delete(id);
        return this.#hear({ type: "UNSUBSCRIBE", id });
      case "end":
        this.#endedAt = Math.max(this.#endedAt, wanting.begunAt);
        this.#wanting.delete(id);
        return this.#tell({ kind: "subscriptionRefused", subscription: id, fault: overflow, now });
    }
  }

  /** What has to begin now: whatever is unsent, nothing else being under way, as soon as link and rate allow. */
  #compare(reports: readonly number[]): void {
    const expected: string[] = [];
    for (const wanting of this.#wanting.values()) {
      const { id, has, flight, unsent, begunAt, gapMs } = wanting;
      if (flight !== null || unsent.length === 0 || this.#isFull || this.#now < begunAt + gapMs) continue;
      expected.push(`deliver ${id} from ${has ?? 0}${has === null ? " full" : ""}`);
      wanting.flight = this.#version;
      wanting.begunAt = this.#now;
    }
    expected.push(...reports.map((versions) => `conflated ${versions}`));
    const actual = this.#actions.flatMap((action) => {
      if (action.kind === "deliver")
        return [`deliver ${action.subscription} from ${action.from}${action.full ? " full" : ""}`];
      if (action.kind === "report" && action.report.kind === "conflated")
        return [`conflated ${action.report.versions}`];
      if (action.kind === "close" || action.kind === "repair") return [action.kind];
      return [];
    });
    if (expected.sort().join() !== actual.sort().join())
      throw new Error(`expected [${expected.join()}], the session did [${actual.join()}]`);
  }
}

export function checkConflation(schedule: readonly Operation[], mangle: Mangle): void {
  const world = new Conflation(mangle);
  for (const operation of schedule) world.perform(operation);
}
