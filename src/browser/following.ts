import { type Schema, schemaFromJson } from "../array/schema.ts";
import { MemblastError } from "../errors.ts";
import { hmacSha256 } from "../integrity/sha256.ts";
import { causeText, Conversation, type ConversationOwner } from "../node/conversation.ts";
import { backoffMs } from "../node/reconnect.ts";
import type { Update } from "../node/update.ts";
import type { World } from "../node/world.ts";
import type { Delta } from "../protocol/assembly.ts";
import { crc32c } from "../protocol/crc32c.ts";
import { hexOf } from "../protocol/cursor.ts";
import { permanentFaults } from "../protocol/fault.ts";
import { followerDeadline, newFollower, stepFollower } from "../protocol/follower.ts";
import type {
  AppliedOutcome,
  FollowerAction,
  FollowerEvent,
  FollowerReport,
  FollowerState,
  Welcome,
} from "../protocol/follower_state.ts";
import { defaultLimits } from "../protocol/limits.ts";
import type { CloseCause, LinkAction } from "../protocol/session.ts";
import type { ClientConfig } from "./options.ts";
import type { Regions } from "./regions.ts";
import { Subscription } from "./subscription.ts";

/** What a following tells its client. */
export interface FollowingOwner {
  onConnect(): void;
  /** Not after `close`. */
  onDisconnect(reason: string): void;
  onUpdate(update: Update): void;
  onMismatch(version: number): void;
  onError(error: MemblastError): void;
  /** It has given up: trying again is of no use. */
  onEnd(error: MemblastError): void;
}

const session = { step: stepFollower, deadline: followerDeadline, crc32c };

/** A browser's way along one node: connects, subscribes, applies what comes, and comes back after every loss until it is closed. */
export class Following implements ConversationOwner<FollowerEvent, FollowerAction> {
  readonly counters = { connects: 0, deltas: 0, fullDeltas: 0, conflatedVersions: 0, mismatches: 0 };
  roundTripMs: number | null = null;
  welcome: Welcome | null = null;
  schema: Schema | null = null;
  /** What can be read. */
  shown: Subscription | null = null;
  /** What has been asked for and has no state yet. */
  #wanted: Subscription | null = null;
  readonly #waiting: PromiseWithResolvers<void>[] = [];
  readonly #config: ClientConfig;
  readonly #world: World;
  readonly #owner: FollowingOwner;
  readonly #nodeId: string;
  readonly #calledOff = new AbortController();
  #conversation: Conversation<FollowerState, FollowerEvent, FollowerAction> | null = null;
  /** Bytes of links that are gone. */
  #past = { sentBytes: 0, receivedBytes: 0 };
  #regions: Regions;
  #maxRate: number | null;
  #keys = 0;
  #failures = 0;
  #cancelRetry: (() => void) | null = null;
  #isClosed = false;

  constructor(config: ClientConfig, world: World, owner: FollowingOwner) {
    this.#config = config;
    this.#world = world;
    this.#owner = owner;
    this.#regions = config.regions;
    this.#maxRate = config.maxRate;
    this.#nodeId = hexOf(world.randomBytes(16));
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  get isConnected(): boolean {
    return this.#conversation?.state.phase === "open";
  }

  get traffic(): { sentBytes: number; receivedBytes: number } {
    const { sentBytes = 0, receivedBytes = 0 } = this.#conversation ?? {};
    return {
      sentBytes: this.#past.sentBytes + sentBytes,
      receivedBytes: this.#past.receivedBytes + receivedBytes,
    };
  }

  connect(): void {
    const { name, address, heartbeatMs, secret } = this.#config;
    const limits = { ...defaultLimits, heartbeatMs };
    const state = newFollower({ node: name, nodeId: this.#nodeId, keyId: secret?.keyId ?? null, limits });
    const conversation = new Conversation<FollowerState, FollowerEvent, FollowerAction>(
      state,
      session,
      this.#world,
      this,
    );
    this.#conversation = conversation;
    const { signal } = this.#calledOff;
    this.#world.transport.connect(address, conversation, { signal }).catch((error: MemblastError) => {
      this.#conversation = null;
      this.#lost(null, error);
    });
  }

  /** Resolves with the first state of these regions. INVALID_REGION, INVALID_NAME, REFUSED leave everything as it was. */
  follow(regions: Regions): Promise<void> {
    const waiter = Promise.withResolvers<void>();
    const wanted = this.schema && this.#subscription(this.schema, regions);
    this.#regions = regions;
    if (wanted) {
      const before = this.#wanted ?? this.shown;
      this.#wanted = wanted;
      if (before) this.#step({ kind: "unsubscribe", key: before.key, now: this.#world.now() });
      this.#subscribe(wanted);
    }
    this.#waiting.push(waiter);
    return waiter.promise;
  }

  limitRate(perSecond: number | null): void {
    this.#maxRate = perSecond;
    const key = (this.#wanted ?? this.shown)?.key;
    if (key !== undefined) this.#step({ kind: "rate", key, perSecond, now: this.#world.now() });
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#cancelRetry?.();
    this.#calledOff.abort();
    this.#conversation?.close("closing");
    this.#reject(new MemblastError("CLOSED", "The client was closed"));
  }

  // ---- what the conversation reports ----

  opened(): FollowerEvent {
    return { kind: "opened", nonce: hexOf(this.#world.randomBytes(32)), now: this.#world.now() };
  }

  drained(): void {}

  closed(cause: CloseCause): void {
    const { cutBy, sentBytes, receivedBytes } = this.#conversation!;
    this.#past = {
      sentBytes: this.#past.sentBytes + sentBytes,
      receivedBytes: this.#past.receivedBytes + receivedBytes,
    };
    this.#conversation = null;
    if (!this.#isClosed) this.#owner.onDisconnect(causeText(cause, cutBy));
    if (cause.kind !== "fault") return this.#lost(cause.kind === "bye" ? cause.retryAfterMs : null, null);
    const { fault } = cause;
    const text = `${this.#config.url}: ${causeText(cause)}`;
    if (permanentFaults.has(fault.code))
      return this.#giveUp(new MemblastError("REFUSED", text, { reason: fault.code }));
    this.#lost(null, new MemblastError("PROTOCOL", text, { reason: fault.code }));
  }

  perform(action: Exclude<FollowerAction, LinkAction>): void {
    switch (action.kind) {
      case "welcome":
        return this.#welcome(action.welcome);
      case "apply":
        return this.#apply(action.key, action.delta);
      case "subscribed":
        return;
      case "refused": {
        const { code, message } = action.fault;
        const text = `${this.#config.url} refuses what is asked of it: ${message}`;
        return this.#refused(action.key, new MemblastError("REFUSED", text, { reason: code }));
      }
      case "report":
        return this.#report(action.report);
      case "sign": {
        const mac = hmacSha256(this.#config.secret!.bytes, action.transcript);
        return this.#conversation!.step({ kind: "signed", mac, now: this.#world.now() });
      }
    }
  }

  // ----

  #step(event: FollowerEvent): void {
    if (this.isConnected) this.#conversation!.step(event);
  }

  #subscription(schema: Schema, regions: Regions): Subscription {
    const { url, checkHash } = this.#config;
    return new Subscription(++this.#keys, url, schema, regions, checkHash);
  }

  #subscribe(subscription: Subscription): void {
    const { incarnation } = this.welcome!;
    const request = subscription.request(incarnation, this.#maxRate);
    this.#step({ kind: "subscribe", request, now: this.#world.now() });
  }

  /** What was there goes on where the node is the one it was; another incarnation or schema starts anew. */
  #welcome(welcome: Welcome): void {
    const before = this.welcome;
    this.#failures = 0;
    this.counters.connects++;
    try {
      if (welcome.schema !== before?.schema) {
        const schema = schemaFromJson(welcome.schema);
        this.#wanted = this.#subscription(schema, this.#regions);
        this.schema = schema;
      } else if (welcome.incarnation !== before.incarnation) this.shown?.replica.forgetVersion();
    } catch (error) {
      if (!(error instanceof MemblastError)) throw error;
      return this.#giveUp(error);
    }
    this.welcome = welcome;
    this.#subscribe(this.#wanted ?? this.shown!);
    this.#owner.onConnect();
  }

  #apply(key: number, delta: Delta): void {
    const subscription = this.#wanted?.key === key ? this.#wanted : this.shown!;
    const result = subscription.replica.apply(delta);
    const outcome: AppliedOutcome =
      result.kind === "ok" ? result : { kind: "mismatch", leafHashes: result.leafHashes };
    const { version } = subscription.replica;
    this.#step({ kind: "applied", delta, version, outcome, now: this.#world.now() });
    if (result.kind === "mismatch") return;
    this.counters.deltas++;
    if (delta.full) this.counters.fullDeltas++;
    else if (delta.to > delta.from) this.counters.conflatedVersions += delta.to - delta.from - 1;
    if (subscription === this.#wanted) {
      this.shown = subscription;
      this.#wanted = null;
    }
    if (subscription === this.shown && !this.#wanted)
      for (const waiter of this.#waiting.splice(0)) waiter.resolve();
    this.#owner.onUpdate(result.update);
  }

  /** Other regions that cannot be had leave the ones before in force. */
  #refused(key: number, error: MemblastError): void {
    if (this.#wanted?.key !== key || !this.shown) return this.#giveUp(error);
    this.#wanted = null;
    this.#regions = this.shown.options;
    this.#subscribe(this.shown);
    this.#reject(error);
  }

  #report(report: FollowerReport): void {
    if (report.kind === "roundTrip") this.roundTripMs = report.ms;
    if (report.kind !== "mismatch") return;
    this.counters.mismatches++;
    this.#owner.onMismatch(report.version);
  }

  /** Tells of the first failure of an outage, not of each, and tries again later. */
  #lost(retryAfterMs: number | null, error: MemblastError | null): void {
    if (this.#isClosed) return;
    if (error && this.#failures === 0) this.#owner.onError(error);
    const wait = Math.max(
      retryAfterMs ?? 0,
      backoffMs(this.#config.backoff, this.#failures++, this.#world.random),
    );
    this.#cancelRetry = this.#world.after(wait, () => this.connect());
  }

  #giveUp(error: MemblastError): void {
    if (this.#isClosed) return;
    this.#reject(error);
    this.close();
    this.#owner.onEnd(error);
  }

  #reject(error: MemblastError): void {
    for (const waiter of this.#waiting.splice(0)) waiter.reject(error);
  }
}
