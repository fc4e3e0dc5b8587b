import type { Runs } from "../delta/runs.ts";
import { MemblastError } from "../errors.ts";
import { crc32c } from "../memory/digest.ts";
import { deltaFrame } from "../protocol/encode.ts";
import { ProtocolFault } from "../protocol/fault.ts";
import type { SubscribeMessage } from "../protocol/messages.ts";
import { newPublisher, publisherDeadline, stepPublisher } from "../protocol/publisher.ts";
import type {
  Peer,
  PublisherAction,
  PublisherConfig,
  PublisherEvent,
  PublisherReport,
  PublisherState,
} from "../protocol/publisher_state.ts";
import type { CloseCause, LinkAction } from "../protocol/session.ts";
import { Backlog } from "./backlog.ts";
import { Conversation, type ConversationOwner } from "./conversation.ts";
import type { Encoding, Reading } from "./encoding.ts";
import type { Feed, Feeds, Follower } from "./feed.ts";
import type { World } from "./world.ts";

/** The bytes of the image that a key opens; null: all of them. */
export type RightsOf = (keyId: string | null) => Runs | null;

export interface PublishingOptions {
  readonly rights: RightsOf;
  /** Bytes of deltas that may wait for the subscriptions in the mode "every" of one link. */
  readonly queueBytesMax: number;
}

/** What a publishing link tells its node. */
export interface PublishingOwner {
  /** A subscription in the mode "every" was ended, because so many bytes waited on this link. */
  onOverflow(publishing: Publishing, bytes: number): void;
  onReport(publishing: Publishing, report: PublisherReport): void;
  onClosed(publishing: Publishing, cause: CloseCause): void;
}

const session = { step: stepPublisher, deadline: publisherDeadline, crc32c };

/** The publisher's end of one link: carries out what the session decides. */
export class Publishing implements Follower, ConversationOwner<PublisherEvent, PublisherAction> {
  readonly conversation: Conversation<PublisherState, PublisherEvent, PublisherAction>;
  readonly counters = {
    deltas: 0,
    conflatedVersions: 0,
    overflows: 0,
    repairs: 0,
    roundTripMs: null as number | null,
  };
  /** The last name that was heard, also after the end. */
  peer = "";
  /** The secret that the peer has proved to know; null: none was asked for, or none yet. */
  keyId: string | null = null;
  readonly #feeds: Feeds;
  readonly #feedOf = new Map<number, Feed>();
  readonly #owner: PublishingOwner;
  readonly #world: World;
  readonly #version: () => number;
  readonly #rights: RightsOf;
  /** Of the subscriptions in the mode "every". */
  readonly #backlogs = new Map<number, Backlog>();
  readonly #queueBytesMax: number;
  /** Deltas of which some parts still have to be handed to the link. */
  #readings: Reading[] = [];

  constructor(
    config: PublisherConfig,
    feeds: Feeds,
    version: () => number,
    world: World,
    owner: PublishingOwner,
    { rights, queueBytesMax }: PublishingOptions,
  ) {
    this.#rights = rights;
    this.#queueBytesMax = queueBytesMax;
    this.#feeds = feeds;
    this.#version = version;
    this.#world = world;
    this.#owner = owner;
    this.conversation = new Conversation<PublisherState, PublisherEvent, PublisherAction>(
      newPublisher(config),
      session,
      world,
      this,
    );
  }

  /** How many versions the subscription that is furthest behind is behind. */
  get lag(): number {
    const { state } = this.conversation;
    let lag = 0;
    if (state.phase === "open")
      for (const subscription of state.subscriptions.values())
        if (subscription.stage === "live")
          lag = Math.max(lag, subscription.newest - (subscription.sent ?? 0));
    return lag;
  }

  /** Whether something is on its way, or waits. */
  get isBehind(): boolean {
    return this.conversation.state.phase === "open" && (this.#readings.length > 0 || this.lag > 0);
  }

  opened(): PublisherEvent {
    this.peer = this.conversation.remote;
    const nonce = Buffer.from(this.#world.randomBytes(32)).toString("hex");
    return { kind: "opened", nonce, version: this.#version(), now: this.#world.now() };
  }

  drained(): void {
    this.#pump();
  }

  closed(cause: CloseCause): void {
    for (const reading of this.#readings.splice(0)) this.#feeds.finish(reading);
    for (const subscription of [...this.#feedOf.keys()]) this.#leave(subscription);
    this.#owner.onClosed(this, cause);
  }

  /** There is a newer version, and these subscriptions follow something that changed. */
  committed(version: number, subscriptions: Iterable<number>): void {
    this.conversation.step({ kind: "committed", version, subscriptions, now: this.#world.now() });
  }

  /** A commit was made: what it changed waits as a delta of its own, unless the first state is still to go. */
  committedEach(version: number, subscriptions: Iterable<number>): void {
    for (const subscription of [...subscriptions]) {
      const backlog = this.#backlogs.get(subscription);
      if (!backlog || this.conversation.state.phase !== "open") continue;
      this.#enqueue(subscription, backlog);
      this.committed(version, [subscription]);
      const { waitingBytes } = this;
      if (backlog.bytes > 0 && waitingBytes > this.#queueBytesMax) this.#overflow(subscription, waitingBytes);
    }
  }

  #enqueue(subscription: number, backlog: Backlog): void {
    if (backlog.tail === null) return;
    const encoding = this.#feedOf.get(subscription)!.delta(backlog.tail, false);
    if (!encoding) return;
    const reading = { subscription, encoding, next: 0 };
    this.#feeds.read(reading);
    backlog.push(reading);
  }

  /** The follower is told, and asks anew if it wants to: that begins with one delta for all that it missed. */
  #overflow(subscription: number, bytes: number): void {
    this.counters.overflows++;
    this.#unsubscribed(subscription);
    const fault = new ProtocolFault(
      "LIMIT",
      `More than ${this.#queueBytesMax} bytes of commits wait for this follower.`,
    );
    this.conversation.step({ kind: "subscriptionRefused", subscription, fault, now: this.#world.now() });
    this.#owner.onOverflow(this, bytes);
  }

  /** Bytes of commits that wait for subscriptions in the mode "every". */
  get waitingBytes(): number {
    let bytes = 0;
    for (const backlog of this.#backlogs.values()) bytes += backlog.bytes;
    return bytes;
  }

  perform(action: Exclude<PublisherAction, LinkAction>): void {
    switch (action.kind) {
      case "acceptSubscription":
        return this.#accept(action.subscription, action.request);
      case "deliver":
        return this.#deliver(action.subscription, action.from, action.full);
      case "repair": {
        this.counters.repairs++;
        const feed = this.#feedOf.get(action.subscription)!;
        this.#forget(this.#backlogs.get(action.subscription)); // it is all in the repair
        return this.#send(action.subscription, feed.repair(action.from, action.version, action.leafHashes));
      }
      case "unsubscribed":
        return this.#unsubscribed(action.subscription);
      case "report":
        return this.#report(action.report);
    }
  }

  #report(report: PublisherReport): void {
    if (report.kind === "joined") this.#joined(report.peer);
    if (report.kind === "conflated") this.counters.conflatedVersions += report.versions;
    if (report.kind === "roundTrip") this.counters.roundTripMs = report.ms;
    this.#owner.onReport(this, report);
  }

  #joined({ node, keyId }: Peer): void {
    this.peer = node;
    this.keyId = keyId;
  }

  #accept(subscription: number, request: SubscribeMessage): void {
    const now = this.#world.now();
    try {
      const feed = this.#feeds.take(request, this.#rights(this.keyId));
      this.#join(subscription, feed);
      if (request.mode === "every") this.#backlogs.set(subscription, new Backlog());
      // A link that followed nothing was not told of commits; without this one it would resume to the version of its opening.
      this.conversation.step({ kind: "committed", version: this.#version(), subscriptions: [], now });
      this.conversation.step({ kind: "subscriptionAccepted", subscription, bytes: feed.bytes, now });
      this.#skipFirst(subscription);
    } catch (error) {
      const fault = faultOf(error);
      this.conversation.step({ kind: "subscriptionRefused", subscription, fault, now });
    }
  }

  /** What resumes from the newest version gets no first delta: every commit from here on is one. */
  #skipFirst(subscription: number): void {
    const { state } = this.conversation;
    const made = state.phase === "open" ? state.subscriptions.get(subscription) : undefined;
    const backlog = this.#backlogs.get(subscription);
    if (made?.stage === "live" && made.sent === made.newest && backlog) backlog.tail ??= made.sent;
  }

  #join(subscription: number, feed: Feed): void {
    this.#feedOf.set(subscription, feed);
    const subscriptions = feed.followers.get(this) ?? new Set();
    feed.followers.set(this, subscriptions.add(subscription));
  }

  #leave(subscription: number): void {
    const feed = this.#feedOf.get(subscription);
    if (!feed) return;
    this.#feedOf.delete(subscription);
    this.#forget(this.#backlogs.get(subscription));
    this.#backlogs.delete(subscription);
    const subscriptions = feed.followers.get(this)!;
    subscriptions.delete(subscription);
    if (subscriptions.size === 0) feed.followers.delete(this);
    this.#feeds.drop(feed);
  }

  #forget(backlog: Backlog | undefined): void {
    for (const reading of backlog?.drain() ?? []) this.#feeds.finish(reading);
  }

  #unsubscribed(subscription: number): void {
    this.#leave(subscription);
    const at = this.#readings.findIndex((reading) => reading.subscription === subscription);
    if (at >= 0) this.#feeds.finish(this.#readings.splice(at, 1)[0]!);
  }

  #deliver(subscription: number, from: number, full: boolean): void {
    const backlog = this.#backlogs.get(subscription);
    const waiting = backlog?.shift();
    if (waiting) return this.#begin(waiting);
    const encoding = this.#feedOf.get(subscription)!.delta(from, full);
    if (encoding) return this.#send(subscription, encoding);
    if (backlog) backlog.tail = from;
    const now = this.#world.now();
    this.conversation.step({ kind: "nothingToSend", subscription, version: this.#version(), now });
  }

  #send(subscription: number, encoding: Encoding): void {
    const reading = { subscription, encoding, next: 0 };
    const backlog = this.#backlogs.get(subscription);
    if (backlog) backlog.tail = encoding.to;
    this.#feeds.read(reading);
    this.#begin(reading);
  }

  #begin(reading: Reading): void {
    this.#readings.push(reading);
    this.#pump();
  }

  /** Hands parts to the link while it takes them: one of each delta in turn, so that a long one does not hold up the others. */
  #pump(): void {
    while (!this.conversation.isBlocked) {
      const reading = this.#readings.shift();
      if (!reading) return;
      const { subscription, encoding } = reading;
      const frame = deltaFrame(subscription, encoding.part(reading.next++));
      const isLast = reading.next === encoding.partCount;
      if (isLast) this.#feeds.finish(reading);
      else this.#readings.push(reading);
      this.conversation.write(frame);
      if (!isLast) continue;
      this.counters.deltas++;
      this.conversation.step({ kind: "deltaSent", subscription, to: encoding.to, now: this.#world.now() });
    }
  }
}

/** Why regions cannot be had, in the words of the protocol. */
function faultOf(error: unknown): ProtocolFault {
  if (error instanceof ProtocolFault) return error;
  if (error instanceof MemblastError) return new ProtocolFault("REGION", error.message);
  throw error;
}
