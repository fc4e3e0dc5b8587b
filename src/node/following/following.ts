import { isStamped } from "../../array/companion.ts";
import { type Schema, schemaFromJson } from "../../array/schema.ts";
import { Mapping } from "../../delta/mapping.ts";
import type { Region } from "../../delta/region.ts";
import { contains } from "../../delta/runs.ts";
import { fail, MemblastError } from "../../errors.ts";
import { crc32c, hasher } from "../../memory/digest.ts";
import type { Delta } from "../../protocol/assembly.ts";
import type { ProtocolFault } from "../../protocol/fault.ts";
import { newFollower } from "../../protocol/follower.ts";
import type {
  AppliedOutcome,
  FollowerAction,
  FollowerReport,
  FollowerState,
  Welcome,
} from "../../protocol/follower_state.ts";
import { defaultLimits } from "../../protocol/limits.ts";
import type { DeltaChunk, DeltaHead } from "../../protocol/part.ts";
import type { LinkAction } from "../../protocol/session.ts";
import type { NodeConfig, ServerConfig } from "../options/config.ts";
import type { Conflation } from "../runtime/events.ts";
import type { Identity } from "../runtime/identity.ts";
import type { Update } from "../runtime/update.ts";
import type { World } from "../runtime/world.ts";
import { checkMesh, linksOf } from "../storage/linking.ts";
import type { Storage } from "../storage/storage.ts";
import { Asking } from "./asking.ts";
import { Gaps } from "./gaps.ts";
import { Line, type LineOwner } from "./line.ts";
import { type Applied, Replica } from "./replica.ts";
import { Staging } from "./staging.ts";

/** What a following tells its node. */
export interface FollowingOwner {
  /** Where a server's arrays go; a node without arrays of its own makes them like the server's. */
  storageFor(schema: Schema): Storage;
  onUpdate(following: Following, update: Update): void;
  onConnect(following: Following): void;
  onDisconnect(following: Following, reason: string): void;
  onMismatch(following: Following, version: number): void;
  onConflated(following: Following, conflation: Conflation): void;
  onError(following: Following, error: MemblastError): void;
  /** It is not followed any more, though the node goes on. */
  onGivenUp(following: Following): void;
}

/** How often to look whether what claimed to be of the future is believed by now. */
const secondLookMs = 30_000;

/** The only subscription that a following has on its link. */
const subscriptionKey = 0;

/** One server followed: connects, subscribes, applies what comes, and comes back after every loss until it is closed. */
export class Following implements LineOwner {
  readonly server: ServerConfig;
  /** Resolves with the first state; rejects where trying again is of no use. */
  readonly ready: Promise<void>;
  readonly counters = {
    deltas: 0,
    fullDeltas: 0,
    mismatches: 0,
    overflows: 0,
    connects: 0,
    roundTripMs: null as number | null,
  };
  /** The name of the node at the other end; its address until it has said one. */
  peer: string;
  /** Why it is not followed any more although the node goes on; null: it is. */
  givenUp: MemblastError | null = null;
  readonly #ready = Promise.withResolvers<void>();
  readonly #identity: Identity;
  readonly #config: NodeConfig;
  readonly #world: World;
  readonly #owner: FollowingOwner;
  readonly #line: Line;
  #replica: Replica | null = null;
  /** Where what it follows is a node of the same mesh. */
  #staging: Staging | null = null;
  /** Set while something of it is not believed because of the clocks. */
  #cancelSecondLook: (() => void) | null = null;
  #schemaText = "";
  #regions: readonly Region[] = [];
  #incarnation = "";
  #maxRate: number | null;
  readonly #gaps: Gaps;
  readonly #asking: Asking;

  constructor(
    server: ServerConfig,
    identity: Identity,
    config: NodeConfig,
    world: World,
    owner: FollowingOwner,
  ) {
    this.server = server;
    this.#maxRate = server.pace.maxRate;
    this.#gaps = new Gaps(server.pace.mode);
    this.peer = server.key;
    this.#identity = identity;
    this.#config = config;
    this.#world = world;
    this.#owner = owner;
    this.#asking = new Asking(world, () => this.#subscribe());
    const { address, key } = server;
    const { backoff, tls } = config;
    this.#line = new Line({ address, key, backoff, tls, crc32c }, world, this);
    this.ready = this.#ready.promise;
    this.ready.catch(() => {}); // whoever wants to know asks
  }

  /** The server's version that this node has; 0 before the first. */
  get version(): number {
    return this.#replica?.version ?? 0;
  }

  /** Whether this node has a state of the server's, which may be that of version 0. */
  get hasState(): boolean {
    return this.#replica?.hasState ?? false;
  }

  get isConnected(): boolean {
    return this.#line.isConnected;
  }

  get isLinked(): boolean {
    return this.#line.isLinked;
  }

  /** Why there is no link that has brought anything; null: there is one, or nothing has failed yet. */
  get outage(): string | null {
    return this.#line.outage;
  }

  get traffic(): { sentBytes: number; receivedBytes: number } {
    return this.#line.traffic;
  }

  get queuedBytes(): number {
    return this.#line.queuedBytes;
  }

  connect(): void {
    this.#line.connect();
  }

  begin(): FollowerState {
    const { name, id } = this.#identity;
    const limits = { ...defaultLimits, heartbeatMs: this.#config.heartbeatMs };
    return newFollower({ node: name, nodeId: id, keyId: this.server.secret?.keyId ?? null, limits });
  }

  onEnd(): void {
    this.#asking.stop();
    this.#dropParts();
  }

  /** The delta that they are of will not come whole. */
  #dropParts(): void {
    try {
      this.#replica?.dropParts();
    } catch (error) {
      if (!(error instanceof MemblastError)) throw error;
      this.#owner.onError(this, error);
    }
  }

  onDisconnect(reason: string): void {
    this.#owner.onDisconnect(this, reason);
  }

  onError(error: MemblastError): void {
    this.#owner.onError(this, error);
  }

  onHopeless(error: MemblastError): void {
    if (this.#line.isClosed) return;
    this.givenUp = error;
    this.#ready.reject(error);
    this.close();
    this.#owner.onGivenUp(this);
    this.#owner.onError(this, error);
  }

  perform(action: Exclude<FollowerAction, LinkAction>): void {
    switch (action.kind) {
      case "welcome":
        return this.#welcome(action.welcome);
      case "part":
        return this.#take(action.chunks, action.head);
      case "apply":
        return this.#apply(action.delta);
      case "subscribed":
        this.#asking.accepted();
        if (action.resumed) this.#line.succeeded();
        if (action.resumed && action.version === this.version) this.#gaps.expectNone();
        return;
      case "refused":
        return this.#refused(action.fault);
      case "report":
        return this.#report(action.report);
      case "sign": {
        const mac = this.server.secret!.secret.sign(action.transcript);
        return this.#line.step({ kind: "signed", mac, now: this.#world.now() });
      }
    }
  }

  #report(report: FollowerReport): void {
    if (report.kind === "roundTrip") this.counters.roundTripMs = report.ms;
    if (report.kind === "overflow") this.#overflowed();
    if (report.kind !== "mismatch") return;
    this.#gaps.expect("mismatch");
    this.counters.mismatches++;
    this.#owner.onMismatch(this, report.version);
  }

  #overflowed(): void {
    this.counters.overflows++;
    this.#dropParts();
    this.#gaps.expect("overflow");
    if (this.server.pace.overflow !== "disconnect") return;
    const text = `${this.server.key} could not keep all commits that this node was too slow to take`;
    this.onHopeless(new MemblastError("REFUSED", text, { reason: "OVERFLOW" }));
  }

  /** Deltas a second at most, from now on and on every later link; null: as fast as it goes. */
  setRate(perSecond: number | null): void {
    this.#maxRate = perSecond;
    if (!this.isConnected) return;
    this.#line.step({ kind: "rate", key: subscriptionKey, perSecond, now: this.#world.now() });
  }

  #welcome(welcome: Welcome): void {
    this.peer = welcome.node;
    this.counters.connects++;
    try {
      this.#prepare(welcome);
    } catch (error) {
      if (!(error instanceof MemblastError)) throw error;
      return this.onHopeless(error);
    }
    this.#gaps.expect("reconnect");
    this.#subscribe();
    if (this.#line.isClosed) return; // it was too much to be asked for
    this.#line.welcomed();
    this.#owner.onConnect(this);
  }

  #subscribe(): void {
    const { mapping, version, hasState } = this.#replica!;
    this.#line.step({
      kind: "subscribe",
      request: {
        key: subscriptionKey,
        regions: this.#regions,
        mode: this.server.pace.mode,
        verify: this.#config.checkHash,
        maxRate: this.#maxRate,
        have: hasState ? { incarnation: this.#incarnation, version } : null,
        bytes: mapping.space.size,
        stretches: mapping.sourceRuns.length / 2,
        inside: (offset, bytes) => contains(mapping.sourceRuns, offset, bytes),
      },
      now: this.#world.now(),
    });
  }

  /** What is too much for the moment is asked for again. */
  #refused({ code, message }: ProtocolFault): void {
    this.#dropParts();
    if (this.#asking.refused(code)) return;
    const hint =
      code === "UNSUPPORTED" && this.#staging ? " In a mesh a map counts twice, for its stamps." : "";
    const text = `${this.server.key} refuses what is asked of it: ${message}${hint}`;
    this.onHopeless(new MemblastError("REFUSED", text, { reason: code }));
  }

  /** The replica goes on where the server is the one it was; another incarnation or schema starts anew. */
  #prepare(welcome: Welcome): void {
    if (this.hasState && welcome.incarnation !== this.#incarnation) this.#gaps.expect("restart");
    if (this.#replica && welcome.schema === this.#schemaText) {
      if (welcome.incarnation !== this.#incarnation) this.#replica.forgetVersion();
    } else {
      const schema = schemaFromJson(welcome.schema);
      const storage = this.#owner.storageFor(schema);
      if (schema.metaBytesMax > storage.schema.metaBytesMax)
        fail(
          "SCHEMA_MISMATCH",
          `${this.server.key} may send more metadata than fits here: pass metaBytesMax: ${schema.metaBytesMax} to start()`,
          { metaBytesMax: schema.metaBytesMax },
        );
      checkMesh(this.server, schema, storage, this.#config.listen.length > 0);
      const links = linksOf(this.server, schema, storage.schema);
      this.#regions = links.map((link) => link.source);
      this.#staging = storage.stamping ? new Staging(storage) : null;
      this.#replica = new Replica(
        this.server.key,
        this.#staging ?? storage,
        new Mapping(schema, storage.schema, links),
        {
          hasher: this.#config.checkHash ? hasher : null,
          shown: storage,
          takesMeta: storage.stamping !== null || this.server === this.#config.servers[0],
          hasMeta: isStamped(storage.schema), // or a text could stay behind that its stamp is not of
        },
      );
    }
    this.#schemaText = welcome.schema;
    this.#incarnation = welcome.incarnation;
  }

  /** Another writer of our memory does not end its turn: what came is dropped, and asked for again by the next link. */
  #putOff(error: MemblastError): void {
    this.#owner.onError(this, error);
    this.#line.hangUp("busy");
  }

  /** Tells once that a clock is wrong, and looks now and then whether it still is. */
  #heedClocks(): void {
    if (!this.#staging?.hasLeft || this.#cancelSecondLook) return;
    const text = `${this.server.key} has elements that were written more than 50 minutes in the future: they are left out until then, or until they are written again. Set the clocks`;
    this.#owner.onError(this, new MemblastError("CLOCK_AHEAD", text, { source: this.server.key }));
    this.#lookAgain();
  }

  #lookAgain(): void {
    if (this.#line.isClosed) return; // by who heard of it
    this.#cancelSecondLook = this.#world.after(secondLookMs, () => {
      this.#cancelSecondLook = null;
      try {
        const update = this.#replica!.takeLeft();
        if (update) this.#owner.onUpdate(this, update);
      } catch (error) {
        if (!(error instanceof MemblastError)) throw error;
        this.#owner.onError(this, error);
      }
      if (this.#staging!.hasLeft) this.#lookAgain();
    });
  }

  #take(chunks: readonly DeltaChunk[], head: DeltaHead | undefined): void {
    try {
      this.#replica!.take(chunks, head);
    } catch (error) {
      this.#failed(error);
    }
  }

  #failed(error: unknown): void {
    if (!(error instanceof MemblastError)) throw error;
    if (error.code === "LOCKED") return this.#putOff(error);
    return this.onHopeless(error);
  }

  #apply(delta: Delta): void {
    const replica = this.#replica!;
    const from = replica.hasState ? replica.version : null;
    let result: Applied;
    try {
      result = replica.apply(delta);
    } catch (error) {
      return this.#failed(error);
    }
    const tell = (outcome: AppliedOutcome) => {
      const { version } = replica;
      this.#line.step({ kind: "applied", delta, version, outcome, now: this.#world.now() });
    };
    if (result.kind === "mismatch") return tell(result);
    this.#line.succeeded();
    this.counters.deltas++;
    if (delta.full) this.counters.fullDeltas++;
    tell({ kind: "ok" });
    this.#ready.resolve();
    const { update } = result;
    // In a mesh most of what comes has come by another way already.
    const isNews = this.#staging ? from === null : delta.meta || delta.full;
    if (update.version !== update.from || isNews) this.#owner.onUpdate(this, update);
    if (this.#line.isClosed) return; // by who was told
    this.#heedClocks();
    const gap = this.#gaps.after(from, delta);
    if (gap) this.#owner.onConflated(this, { source: this.server.key, ...gap });
  }

  /** Breaks what link there still is. */
  abort(): void {
    this.#line.abort();
  }

  close(): void {
    if (this.#line.isClosed) return;
    this.#line.close();
    this.#asking.stop();
    this.#cancelSecondLook?.();
    this.#ready.reject(new MemblastError("CLOSED", "The node was closed before its first state came"));
  }
}
