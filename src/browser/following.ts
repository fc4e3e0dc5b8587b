import { type Schema, schemaFromJson } from "../array/schema.ts";
import { MemblastError } from "../errors.ts";
import { hmacSha256 } from "../integrity/sha256.ts";
import { Asking } from "../node/following/asking.ts";
import { Line, type LineOwner } from "../node/following/line.ts";
import type { Conflation } from "../node/runtime/events.ts";
import type { Applied } from "../node/following/replica.ts";
import type { Update } from "../node/runtime/update.ts";
import type { World } from "../node/runtime/world.ts";
import type { Delta } from "../protocol/assembly.ts";
import { crc32c } from "../protocol/crc32c.ts";
import { hexOf } from "../protocol/cursor.ts";
import { newFollower } from "../protocol/follower.ts";
import type {
  FollowerAction,
  FollowerEvent,
  FollowerReport,
  FollowerState,
  Welcome,
} from "../protocol/follower_state.ts";
import type { ProtocolFault } from "../protocol/fault.ts";
import { defaultLimits } from "../protocol/limits.ts";
import type { DeltaChunk, DeltaHead } from "../protocol/part.ts";
import type { LinkAction } from "../protocol/session.ts";
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
  /** In the mode "every", versions came as one. */
  onConflated(conflation: Conflation): void;
  onError(error: MemblastError): void;
  /** It has given up: trying again is of no use. */
  onEnd(error: MemblastError): void;
}

/** A browser's way along one node: connects, subscribes, applies what comes, and comes back after every loss until it is closed. */
export class Following implements LineOwner {
  readonly counters = {
    connects: 0,
    deltas: 0,
    fullDeltas: 0,
    conflatedVersions: 0,
    mismatches: 0,
    overflows: 0,
  };
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
  readonly #line: Line;
  #regions: Regions;
  #maxRate: number | null;
  #keys = 0;
  readonly #asking: Asking;

  constructor(config: ClientConfig, world: World, owner: FollowingOwner) {
    this.#config = config;
    this.#world = world;
    this.#owner = owner;
    this.#regions = config.regions;
    this.#maxRate = config.pace.maxRate;
    this.#asking = new Asking(world, () => this.#askAgain());
    this.#nodeId = hexOf(world.randomBytes(16));
    const { address, url: key, backoff } = config;
    this.#line = new Line({ address, key, backoff, crc32c }, world, this);
  }

  get isClosed(): boolean {
    return this.#line.isClosed;
  }

  get isConnected(): boolean {
    return this.#line.isConnected;
  }

  /** Why there is no link that has brought anything; null: there is one, or nothing has failed yet. */
  get outage(): string | null {
    return this.#line.outage;
  }

  get traffic(): { sentBytes: number; receivedBytes: number } {
    return this.#line.traffic;
  }

  connect(): void {
    this.#line.connect();
  }

  /** Resolves with the first state of these regions. INVALID_REGION, INVALID_NAME, REFUSED leave everything as it was. */
  follow(regions: Regions): Promise<void> {
    const waiter = Promise.withResolvers<void>();
    const wanted = this.schema && this.#subscription(this.schema, regions);
    this.#regions = regions;
    this.#waiting.push(waiter);
    if (wanted) {
      const before = this.#wanted ?? this.shown;
      this.#wanted = wanted;
      if (before) {
        wanted.gaps.takeOver(before.gaps);
        before.replica.dropParts();
        this.#step({ kind: "unsubscribe", key: before.key, now: this.#world.now() });
      }
      this.#subscribe(wanted);
    }
    return waiter.promise;
  }

  setRate(perSecond: number | null): void {
    this.#maxRate = perSecond;
    const key = (this.#wanted ?? this.shown)?.key;
    if (key !== undefined) this.#step({ kind: "rate", key, perSecond, now: this.#world.now() });
  }

  close(): void {
    if (this.#line.isClosed) return;
    this.#line.close();
    this.#asking.stop();
    this.#reject(new MemblastError("CLOSED", "The client was closed"));
  }

  // ---- what the line reports ----

  begin(): FollowerState {
    const { name, heartbeatMs, secret } = this.#config;
    const limits = { ...defaultLimits, heartbeatMs };
    return newFollower({ node: name, nodeId: this.#nodeId, keyId: secret?.keyId ?? null, limits });
  }

  onEnd(): void {
    this.#asking.stop();
    for (const subscription of [this.shown, this.#wanted]) subscription?.replica.dropParts();
  }

  onDisconnect(reason: string): void {
    if (!this.#line.isClosed) this.#owner.onDisconnect(reason);
  }

  onError(error: MemblastError): void {
    if (!this.#line.isClosed) this.#owner.onError(error);
  }

  onHopeless(error: MemblastError): void {
    if (this.#line.isClosed) return;
    this.#reject(error);
    this.close();
    this.#owner.onEnd(error);
  }

  perform(action: Exclude<FollowerAction, LinkAction>): void {
    switch (action.kind) {
      case "welcome":
        return this.#welcome(action.welcome);
      case "part":
        return this.#take(action.key, action.chunks, action.head);
      case "apply":
        return this.#apply(action.key, action.delta);
      case "subscribed":
        return this.#subscribed(action);
      case "refused":
        return this.#refused(action.key, action.fault);
      case "report":
        return this.#report(action.report);
      case "sign": {
        const mac = hmacSha256(this.#config.secret!.bytes, action.transcript);
        return this.#line.step({ kind: "signed", mac, now: this.#world.now() });
      }
    }
  }

  // ----

  #step(event: FollowerEvent): void {
    if (this.isConnected) this.#line.step(event);
  }

  #subscription(schema: Schema, regions: Regions): Subscription {
    const { url, checkHash: verify, pace } = this.#config;
    return new Subscription(++this.#keys, url, schema, regions, { mode: pace.mode, verify });
  }

  /** While it waits to ask again, others may come to be chosen. */
  #subscribe(subscription: Subscription): void {
    if (this.#asking.isWaiting) return;
    const { incarnation } = this.welcome!;
    const request = subscription.request(incarnation, this.#maxRate);
    this.#step({ kind: "subscribe", request, now: this.#world.now() });
  }

  /** What was there goes on where the node is the one it was; another incarnation or schema starts anew. */
  #welcome(welcome: Welcome): void {
    const before = this.welcome;
    this.counters.connects++;
    try {
      if (welcome.schema !== before?.schema) {
        const schema = schemaFromJson(welcome.schema);
        this.#wanted = this.#subscription(schema, this.#regions);
        this.schema = schema;
      }
    } catch (error) {
      return this.onHopeless(this.#cannotFollow(error)); // the next welcome would end over the same
    }
    this.welcome = welcome;
    if (welcome.incarnation !== before?.incarnation) this.#beginAnew();
    const subscription = this.#wanted ?? this.shown!;
    subscription.gaps.expect("reconnect");
    this.#subscribe(subscription);
    if (this.#line.isClosed) return; // it was too much to be asked for
    this.#line.welcomed();
    this.#owner.onConnect();
  }

  #cannotFollow(error: unknown): MemblastError {
    if (error instanceof MemblastError) return error;
    const text = `${this.#config.url} cannot be followed here: ${String(error)}`;
    return new MemblastError("SYSTEM", text, {}, error);
  }

  /** Versions of another incarnation cannot be compared with what was there. */
  #beginAnew(): void {
    if (!this.shown) return;
    if (this.shown.replica.hasState) this.shown.gaps.expect("restart");
    this.shown.replica.forgetVersion();
    this.#wanted?.gaps.takeOver(this.shown.gaps);
  }

  #subscribed({ key, resumed, version }: Extract<FollowerAction, { kind: "subscribed" }>): void {
    this.#asking.accepted();
    if (!resumed) return;
    this.#line.succeeded();
    const subscription = this.#of(key);
    if (version === subscription.replica.version) subscription.gaps.expectNone();
  }

  #of(key: number): Subscription {
    return this.#wanted?.key === key ? this.#wanted : this.shown!;
  }

  #take(key: number, chunks: readonly DeltaChunk[], head: DeltaHead | undefined): void {
    try {
      this.#of(key).replica.take(chunks, head);
    } catch (error) {
      this.#failed(error);
    }
  }

  #failed(error: unknown): void {
    if (!(error instanceof MemblastError)) throw error;
    this.onHopeless(error);
  }

  #apply(key: number, delta: Delta): void {
    const subscription = this.#of(key);
    const from = subscription.replica.hasState ? subscription.replica.version : null;
    let result: Applied;
    try {
      result = subscription.replica.apply(delta);
    } catch (error) {
      return this.#failed(error);
    }
    const { version } = subscription.replica;
    this.#step({ kind: "applied", delta, version, outcome: result, now: this.#world.now() });
    if (result.kind === "mismatch") return;
    this.#line.succeeded();
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
    if (this.isClosed) return; // by who was told
    const gap = subscription.gaps.after(from, delta);
    if (gap) this.#owner.onConflated({ source: this.#config.url, ...gap });
  }

  /** What is too much for the moment is asked for again; other regions that cannot be had leave the ones before in force. */
  #refused(key: number, { code, message }: ProtocolFault): void {
    if (this.shown?.key === key) this.shown.gaps.expect("reconnect");
    this.#of(key).replica.dropParts();
    if (this.#asking.refused(code)) return;
    const text = `${this.#config.url} refuses what is asked of it: ${message}`;
    const error = new MemblastError("REFUSED", text, { reason: code });
    if (this.#wanted?.key !== key || !this.shown) return this.onHopeless(error);
    this.#wanted = null;
    this.#regions = this.shown.options;
    this.shown.gaps.expect("reconnect");
    this.#subscribe(this.shown);
    this.#reject(error);
  }

  #askAgain(): void {
    this.#subscribe(this.#wanted ?? this.shown!);
  }

  #report(report: FollowerReport): void {
    switch (report.kind) {
      case "roundTrip":
        this.roundTripMs = report.ms;
        return;
      case "overflow":
        return this.#overflowed(report.key);
      case "mismatch":
        this.#of(report.key).gaps.expect("mismatch");
        this.counters.mismatches++;
        return this.#owner.onMismatch(report.version);
    }
  }

  #overflowed(key: number): void {
    this.counters.overflows++;
    this.#of(key).gaps.expect("overflow");
    this.#of(key).replica.dropParts();
    if (this.#config.pace.overflow !== "disconnect") return;
    const text = `${this.#config.url} could not keep all commits that this client was too slow to take`;
    this.onHopeless(new MemblastError("REFUSED", text, { reason: "OVERFLOW" }));
  }

  #reject(error: MemblastError): void {
    for (const waiter of this.#waiting.splice(0)) waiter.reject(error);
  }
}
