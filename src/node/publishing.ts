import { MemblastError } from "../errors.ts";
import { crc32c } from "../memory/digest.ts";
import { deltaFrame } from "../protocol/encode.ts";
import { ProtocolFault } from "../protocol/fault.ts";
import type { SubscribeMessage } from "../protocol/messages.ts";
import { newPublisher, publisherDeadline, stepPublisher } from "../protocol/publisher.ts";
import type {
  PublisherAction,
  PublisherConfig,
  PublisherEvent,
  PublisherReport,
  PublisherState,
} from "../protocol/publisher_state.ts";
import type { CloseCause, LinkAction } from "../protocol/session.ts";
import { Conversation, type ConversationOwner } from "./conversation.ts";
import type { Encoding, Reading } from "./encoding.ts";
import type { Feed, Feeds, Follower } from "./feed.ts";
import type { World } from "./world.ts";

/** What a publishing link tells its node. */
export interface PublishingOwner {
  onReport(publishing: Publishing, report: PublisherReport): void;
  onClosed(publishing: Publishing, cause: CloseCause): void;
}

const session = { step: stepPublisher, deadline: publisherDeadline, crc32c };

/** The publisher's end of one link: carries out what the session decides. */
export class Publishing implements Follower, ConversationOwner<PublisherEvent, PublisherAction> {
  readonly conversation: Conversation<PublisherState, PublisherEvent, PublisherAction>;
  readonly counters = { deltas: 0, conflatedVersions: 0, repairs: 0, roundTripMs: null as number | null };
  /** The last name that was heard, also after the end. */
  peer = "";
  readonly #feeds: Feeds;
  readonly #feedOf = new Map<number, Feed>();
  readonly #owner: PublishingOwner;
  readonly #world: World;
  readonly #version: () => number;
  /** Deltas of which some parts still have to be handed to the link. */
  #readings: Reading[] = [];

  constructor(
    config: PublisherConfig,
    feeds: Feeds,
    version: () => number,
    world: World,
    owner: PublishingOwner,
  ) {
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

  perform(action: Exclude<PublisherAction, LinkAction>): void {
    switch (action.kind) {
      case "acceptSubscription":
        return this.#accept(action.subscription, action.request);
      case "deliver":
        return this.#deliver(action.subscription, action.from, action.full);
      case "repair": {
        this.counters.repairs++;
        const feed = this.#feedOf.get(action.subscription)!;
        return this.#send(action.subscription, feed.repair(action.from, action.version, action.leafHashes));
      }
      case "unsubscribed":
        return this.#unsubscribed(action.subscription);
      case "report":
        return this.#report(action.report);
    }
  }

  #report(report: PublisherReport): void {
    if (report.kind === "joined") this.peer = report.peer.node;
    if (report.kind === "conflated") this.counters.conflatedVersions += report.versions;
    if (report.kind === "roundTrip") this.counters.roundTripMs = report.ms;
    this.#owner.onReport(this, report);
  }

  #accept(subscription: number, request: SubscribeMessage): void {
    const now = this.#world.now();
    try {
      const feed = this.#feeds.take(request.regions, request.verify);
      this.#join(subscription, feed);
      // A link that followed nothing was not told of commits; without this one it would resume to the version of its opening.
      this.conversation.step({ kind: "committed", version: this.#version(), subscriptions: [], now });
      this.conversation.step({ kind: "subscriptionAccepted", subscription, bytes: feed.bytes, now });
    } catch (error) {
      if (!(error instanceof MemblastError)) throw error;
      const fault = new ProtocolFault("REGION", error.message);
      this.conversation.step({ kind: "subscriptionRefused", subscription, fault, now });
    }
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
    const subscriptions = feed.followers.get(this)!;
    subscriptions.delete(subscription);
    if (subscriptions.size === 0) feed.followers.delete(this);
    this.#feeds.drop(feed);
  }

  #unsubscribed(subscription: number): void {
    this.#leave(subscription);
    const at = this.#readings.findIndex((reading) => reading.subscription === subscription);
    if (at >= 0) this.#feeds.finish(this.#readings.splice(at, 1)[0]!);
  }

  #deliver(subscription: number, from: number, full: boolean): void {
    const encoding = this.#feedOf.get(subscription)!.delta(from, full);
    if (encoding) return this.#send(subscription, encoding);
    const now = this.#world.now();
    this.conversation.step({ kind: "nothingToSend", subscription, version: this.#version(), now });
  }

  #send(subscription: number, encoding: Encoding): void {
    const reading = { subscription, encoding, next: 0 };
    this.#readings.push(reading);
    this.#feeds.read(reading);
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
