import type { Runs } from "../../delta/runs.ts";
import { MemblastError } from "../../errors.ts";
import { crc32c } from "../../memory/digest.ts";
import type { Subscription } from "../../protocol/delivery.ts";
import { ProtocolFault } from "../../protocol/fault.ts";
import type { SubscribeMessage } from "../../protocol/messages.ts";
import { newPublisher, publisherDeadline, stepPublisher } from "../../protocol/publisher.ts";
import type {
  Peer,
  PublisherAction,
  PublisherConfig,
  PublisherEvent,
  PublisherReport,
  PublisherState,
} from "../../protocol/publisher_state.ts";
import type { CloseCause, LinkAction } from "../../protocol/session.ts";
import { asError } from "../../transport/failure.ts";
import { Conversation, type ConversationOwner } from "../runtime/conversation.ts";
import type { World } from "../runtime/world.ts";
import type { Allowance } from "./allowance.ts";
import { Arrears } from "./arrears.ts";
import { Backlog } from "./backlog.ts";
import { type Encoding, newReading, type Reading } from "./encoding.ts";
import type { Feed, Feeds, Follower } from "./feed.ts";
import { type Outlet, Sending } from "./sending.ts";
import { Waiting } from "./waiting.ts";

/** The bytes of the image that a key opens; null: all of them. */
export type RightsOf = (keyId: string | null) => Runs | null;

export interface PublishingOptions {
  readonly rights: RightsOf;
  /** Bytes of deltas that may wait for the subscriptions in the mode "every" of one link. */
  readonly queueBytesMax: number;
  /** What its subscriptions may cost. */
  readonly allowance: Allowance;
}

/** What a publishing link tells its node. */
export interface PublishingOwner {
  /** A subscription in the mode "every" was ended, because so many bytes waited on this link. */
  onOverflow(publishing: Publishing, bytes: number): void;
  /** It is ended because too much was kept for followers that do not take it; the end of the link tells others. */
  onTooSlow?(publishing: Publishing): void;
  onReport(publishing: Publishing, report: PublisherReport): void;
  onClosed(publishing: Publishing, cause: CloseCause): void;
}

const noSubscriptions: ReadonlyMap<number, Subscription> = new Map();

/** How long a follower that was too slow has to read that it was, ms. */
const lastWordMs = 250;

const session = { step: stepPublisher, deadline: publisherDeadline, crc32c };

/** The publisher's end of one link: carries out what the session decides. */
export class Publishing implements Follower, Outlet, ConversationOwner<PublisherEvent, PublisherAction> {
  readonly conversation: Conversation<PublisherState, PublisherEvent, PublisherAction>;
  readonly counters = {
    deltas: 0,
    conflations: 0,
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
  readonly #arrears = new Arrears();
  readonly #queueBytesMax: number;
  readonly #allowance: Allowance;
  /** Times that there was something new for a subscription in the mode "latest" since its last delta began. */
  readonly #news = new Map<number, number>();
  readonly #sending: Sending;
  readonly #waiting: Waiting;

  constructor(
    config: PublisherConfig,
    feeds: Feeds,
    version: () => number,
    world: World,
    owner: PublishingOwner,
    { rights, queueBytesMax, allowance }: PublishingOptions,
  ) {
    this.#allowance = allowance;
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
    this.#sending = new Sending(feeds, this);
    this.#waiting = new Waiting(feeds.keeping, this, version);
  }

  get isBlocked(): boolean {
    return this.conversation.isBlocked;
  }

  write(frame: readonly Uint8Array[]): void {
    this.conversation.write(frame);
  }

  sent(subscription: number, { to }: Encoding): void {
    this.counters.deltas++;
    this.conversation.step({ kind: "deltaSent", subscription, to, now: this.#world.now() });
  }

  /** The version that all its subscriptions have been brought to; null: not all have had their first state, or there is none. */
  get version(): number | null {
    const live = [...this.#subscriptions.values()].map((each) => (each.stage === "live" ? each.sent : null));
    const versions = [...live, ...this.#arrears.versions];
    if (versions.length === 0 || versions.includes(null)) return null;
    return Math.min(...(versions as number[]));
  }

  /** How many versions the subscription that is furthest behind is behind. */
  get lag(): number {
    let lag = 0;
    for (const subscription of this.#subscriptions.values())
      if (subscription.stage === "live") lag = Math.max(lag, subscription.newest - (subscription.sent ?? 0));
    for (const sent of this.#arrears.versions) lag = Math.max(lag, this.#version() - (sent ?? 0));
    return lag;
  }

  /** Whether something is on its way, or waits. */
  get isBehind(): boolean {
    return (
      this.conversation.state.phase === "open" &&
      (!this.#sending.isEmpty || this.#waiting.size > 0 || this.lag > 0)
    );
  }

  opened(): PublisherEvent {
    this.peer = this.conversation.remote;
    const nonce = Buffer.from(this.#world.randomBytes(32)).toString("hex");
    return { kind: "opened", nonce, version: this.#version(), now: this.#world.now() };
  }

  drained(): void {
    this.#sending.pump();
  }

  closed(cause: CloseCause): void {
    this.#letGo();
    this.#owner.onClosed(this, cause);
  }

  /** There is a newer version, and these subscriptions follow something that changed. */
  committed(version: number, subscriptions: Iterable<number>): void {
    for (const subscription of subscriptions)
      if (!this.#backlogs.has(subscription))
        this.#news.set(subscription, (this.#news.get(subscription) ?? 0) + 1);
    this.conversation.step({ kind: "committed", version, subscriptions, now: this.#world.now() });
  }

  /** A commit was made: what it changed waits as a delta of its own, unless the first state is still to go. */
  committedEach(version: number, subscriptions: Iterable<number>): void {
    for (const subscription of [...subscriptions]) {
      const backlog = this.#backlogs.get(subscription);
      if (!backlog || this.conversation.state.phase !== "open") continue;
      const reading = this.#enqueue(subscription, backlog);
      this.committed(version, [subscription]);
      const { waitingBytes } = this;
      if (backlog.bytes > 0 && waitingBytes > this.#queueBytesMax) this.#overflow(subscription, waitingBytes);
      else if (reading?.movedAt === null) this.#feeds.putBy(reading);
    }
  }

  /** It may come back: what it has then is where it goes on from. */
  tooSlow(): void {
    const { conversation } = this;
    this.#letGo();
    this.#owner.onTooSlow?.(this);
    conversation.refuse(
      new ProtocolFault(
        "LIMIT",
        "Too much is kept for this link, which does not take it: come back for the newest.",
      ),
    );
    this.#world.after(lastWordMs, () => conversation.abort()); // who does not read will not read this either
  }

  /** Nothing is kept for it any more. */
  #letGo(): void {
    this.#sending.dropAll();
    for (const subscription of [...this.#feedOf.keys()]) this.#leave(subscription);
  }

  /** Something of ours went wrong for this link: it ends, the follower is told that it was not its fault, and the node why. */
  failed(error: unknown): void {
    const { conversation } = this;
    conversation.cutBy ??= asError(error);
    try {
      conversation.refuse(new ProtocolFault("INTERNAL", "This node could not read what is followed here."));
    } catch {
      conversation.abort();
    }
  }

  #enqueue(subscription: number, backlog: Backlog): Reading | null {
    if (backlog.tail === null) return null;
    const encoding = this.#feedOf.get(subscription)!.delta(backlog.tail, false);
    if (!encoding) return null;
    const reading = newReading(this, subscription, encoding);
    this.#feeds.read(reading);
    backlog.push(reading);
    return reading;
  }

  /** What follows begins with one delta for all that it missed. */
  #overflow(subscription: number, bytes: number): void {
    this.counters.overflows++;
    const ended = this.#subscriptions.get(subscription);
    this.#arrears.add(subscription, ended?.stage === "live" ? ended.sent : null);
    this.#allowance.giveBack(subscription);
    const text = `More than ${this.#queueBytesMax} bytes of commits wait for this follower.`;
    this.#end(subscription, new ProtocolFault("LIMIT", text));
    this.#owner.onOverflow(this, bytes);
  }

  /** The follower is told, and asks anew if it wants to. */
  #end(subscription: number, fault: ProtocolFault): void {
    this.#unsubscribed(subscription);
    this.conversation.step({ kind: "subscriptionRefused", subscription, fault, now: this.#world.now() });
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
      case "repair":
        return this.#repair(action);
      case "unsubscribed":
        this.#arrears.delete(action.subscription);
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
    let feed: Feed;
    try {
      feed = this.#join(subscription, request);
    } catch (error) {
      const fault = faultOf(error);
      return this.conversation.step({ kind: "subscriptionRefused", subscription, fault, now });
    }
    // A link that followed nothing was not told of commits; without this one it would resume to the version of its opening.
    this.conversation.step({ kind: "committed", version: this.#version(), subscriptions: [], now });
    this.conversation.step({ kind: "subscriptionAccepted", subscription, bytes: feed.bytes, now });
    if (!this.#subscriptions.has(subscription)) return this.#leave(subscription); // the session would not have it
    if (request.mode === "every") this.#arrears.askedAgain();
    this.#skipFirst(subscription);
  }

  get #subscriptions(): ReadonlyMap<number, Subscription> {
    const { state } = this.conversation;
    return state.phase === "open" ? state.subscriptions : noSubscriptions;
  }

  /** What resumes from the newest version gets no first delta: every commit from here on is one. */
  #skipFirst(subscription: number): void {
    const made = this.#subscriptions.get(subscription);
    const backlog = this.#backlogs.get(subscription);
    if (made?.stage === "live" && made.sent === made.newest && backlog) backlog.tail ??= made.sent;
  }

  /** Follows what is asked for, once it is known that it may be. @throws ProtocolFault, INVALID_REGION; then nothing is left of it */
  #join(subscription: number, request: SubscribeMessage): Feed {
    this.#allowance.pay(request.regions);
    const runs = this.#feeds.runsOf(request.regions, this.#rights(this.keyId));
    this.#allowance.check(runs);
    const feed = this.#feeds.take(runs, request, (leaves) => this.#allowance.payLeaves(leaves));
    this.#allowance.add(subscription, feed.runs); // not its own runs: who follows the same holds the same
    this.#feedOf.set(subscription, feed);
    const subscriptions = feed.followers.get(this) ?? new Set();
    feed.followers.set(this, subscriptions.add(subscription));
    if (request.mode === "every") this.#backlogs.set(subscription, new Backlog());
    return feed;
  }

  #leave(subscription: number): void {
    const feed = this.#feedOf.get(subscription);
    if (!feed) return;
    this.#feedOf.delete(subscription);
    this.#allowance.delete(subscription);
    this.#news.delete(subscription);
    this.#waiting.callOff(subscription);
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
    this.#sending.drop(subscription);
  }

  #deliver(subscription: number, from: number, full: boolean): void {
    this.counters.conflations += Math.max((this.#news.get(subscription) ?? 0) - 1, 0);
    this.#news.delete(subscription);
    const backlog = this.#backlogs.get(subscription);
    const waiting = backlog?.shift();
    if (waiting) return this.#sending.begin(waiting);
    // Every commit was looked at when it was made. What is made only now may be more, and all that comes meanwhile.
    if (backlog && backlog.tail !== null) return this.#nothingToSend(subscription, from);
    this.#begin(subscription, from, () => this.#feedOf.get(subscription)!.delta(from, full));
  }

  #repair({ subscription, from, version, leafHashes }: PublisherAction & { kind: "repair" }): void {
    try {
      this.#allowance.payAgain(subscription);
    } catch (error) {
      return this.#end(subscription, faultOf(error));
    }
    this.counters.repairs++;
    const feed = this.#feedOf.get(subscription)!;
    this.#forget(this.#backlogs.get(subscription)); // it is all in the repair
    this.#begin(subscription, from, () => feed.repair(from, version, leafHashes));
  }

  #nothingToSend(subscription: number, from: number): void {
    const backlog = this.#backlogs.get(subscription);
    if (backlog) backlog.tail = from;
    const now = this.#world.now();
    this.conversation.step({ kind: "nothingToSend", subscription, version: this.#version(), now });
  }

  /** At once, or when there is room: then what is newest by then. */
  #begin(subscription: number, from: number, encode: () => Encoding | null): void {
    this.#waiting.await(subscription, encode, (encoding) => {
      if (encoding) this.#send(subscription, encoding);
      else this.#nothingToSend(subscription, from);
    });
  }

  #send(subscription: number, encoding: Encoding): void {
    const reading = newReading(this, subscription, encoding);
    const backlog = this.#backlogs.get(subscription);
    if (backlog) backlog.tail = encoding.to;
    this.#feeds.read(reading);
    this.#sending.begin(reading);
  }
}

/** Why regions cannot be had, in the words of the protocol. */
function faultOf(error: unknown): ProtocolFault {
  if (error instanceof ProtocolFault) return error;
  if (error instanceof MemblastError && error.code.startsWith("INVALID_"))
    return new ProtocolFault("REGION", error.message);
  throw error;
}
