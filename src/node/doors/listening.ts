import { schemaToJson } from "../../array/schema.ts";
import type { Runs } from "../../delta/runs.ts";
import { fail, MemblastError } from "../../errors.ts";
import { crc32c } from "../../memory/digest.ts";
import { encodeMessage } from "../../protocol/encode.ts";
import { ProtocolFault } from "../../protocol/fault.ts";
import { defaultLimits, payloadBytesMax } from "../../protocol/limits.ts";
import type { Peer, PublisherConfig } from "../../protocol/publisher_state.ts";
import type { CloseCause } from "../../protocol/session.ts";
import type { Address } from "../../transport/address.ts";
import { formatAddress } from "../../transport/address.ts";
import { descriptors } from "../../transport/descriptors.ts";
import type { Link, Listener } from "../../transport/link.ts";
import { type Crowding, Places } from "../../transport/places.ts";
import type { NodeConfig } from "../options/config.ts";
import { Allowance } from "../publishing/allowance.ts";
import { Feeds, type Follower } from "../publishing/feed.ts";
import { Publishing, type PublishingOwner } from "../publishing/publishing.ts";
import { type Crowded, isWorthTelling } from "../runtime/events.ts";
import type { Identity } from "../runtime/identity.ts";
import { Quiet } from "../runtime/quiet.ts";
import type { World } from "../runtime/world.ts";
import type { Published } from "../storage/shadow.ts";
import { Purses } from "./purses.ts";
import type { DoorStats } from "./counters.ts";
import { addressOf, Doorkeeper, limitsWithin } from "./doorkeeper.ts";

/** What a node's doors tell it. */
export interface ListeningOwner extends PublishingOwner {
  /** Some were turned away. Told at once, and then not again for {@link crowdedQuietMs}. */
  onCrowded(event: Crowded): void;
  /** A link ended with a fault before it had come in. Told at once, and then not again for {@link strangerQuietMs}. */
  onFaulty(publishing: Publishing, cause: CloseCause): void;
  onError(error: MemblastError): void;
}

/** A full house is told this often, ms: whoever is turned away comes again. */
const crowdedQuietMs = 10_000;

/** Wrong certificates are told at most this often, and so are other faults of strangers, ms. */
const strangerQuietMs = 1_000;

/** When others keep the memory from being read, it is tried again after so long, ms. */
const readAgainMs = 100;

/** From its arrival a link has this long to come through all handshakes, ms; with what is left to say it is gone within three seconds. */
const handshakeMs = 2_500;

/** Who takes nothing of a delta for two heartbeats, or at most so long, stands still, ms. */
const patienceMsMax = 10_000;

/** A WELCOME is one frame; quotes inside of JSON inside of JSON take two bytes each. */
const schemaBytesMax = payloadBytesMax / 2 - 4096;

/** The doors of a node: its listeners, the links that came in by them, and what they follow. */
export class Listening {
  readonly feeds: Feeds;
  readonly links = new Set<Publishing>();
  readonly #listeners: Listener[] = [];
  readonly #storage: Published;
  readonly #world: World;
  readonly #config: NodeConfig;
  readonly #session: PublisherConfig;
  readonly #owner: ListeningOwner;
  readonly #doorkeeper: Doorkeeper;
  readonly #purses: Purses;
  /** Of all listeners together. */
  readonly #places: Places;
  /** Links turned away since that was last told. */
  #refused = 0;
  readonly #crowdedQuiet: Quiet;
  readonly #untrustedQuiet: Quiet;
  readonly #faultyQuiet: Quiet;
  #cancelAgain: (() => void) | null = null;
  #isShut = false;
  /** Bytes that each key opens. */
  readonly #rights: ReadonlyMap<string, Runs | null>;

  constructor(
    storage: Published,
    identity: Identity,
    config: NodeConfig,
    world: World,
    owner: ListeningOwner,
  ) {
    this.#storage = storage;
    this.#config = config;
    this.#world = world;
    this.#owner = owner;
    const schema = schemaToJson(storage.schema);
    if (config.listen.length && Buffer.byteLength(schema) > schemaBytesMax)
      fail(
        "TOO_LARGE",
        `start(): the names and shapes of these arrays take ${Buffer.byteLength(schema)} bytes, more than the ${schemaBytesMax} ` +
          "that followers can be told: use fewer arrays, or shorter names",
      );
    const patienceMs = Math.min(2 * config.heartbeatMs, patienceMsMax);
    this.feeds = new Feeds(storage, world, { patienceMs });
    this.#places = new Places(config.connectionsMax);
    const now = () => world.now();
    this.#crowdedQuiet = new Quiet(crowdedQuietMs, now);
    this.#untrustedQuiet = new Quiet(strangerQuietMs, now);
    this.#faultyQuiet = new Quiet(strangerQuietMs, now);
    this.#purses = new Purses(now);
    this.#doorkeeper = new Doorkeeper(
      now,
      limitsWithin(Math.min(config.connectionsMax, descriptors.linksMax)),
    );
    this.#rights = config.keyring?.rightsIn(storage.schema) ?? new Map();
    this.#session = {
      node: identity.name,
      nodeId: identity.id,
      incarnation: storage.incarnation,
      schema,
      auth: { kind: "none" },
      modes: storage.isSole ? ["latest", "every"] : ["latest"],
      admit: (peer) => this.#objectionTo(peer),
      limits: { ...defaultLimits, handshakeMs, heartbeatMs: config.heartbeatMs },
    };
  }

  /** Opens every door or none: ADDRESS_IN_USE, INVALID_ADDRESS, CLOSED where it was shut meanwhile. */
  async open(): Promise<void> {
    try {
      for (const address of this.#config.listen) {
        this.#listeners.push(await this.#listen(address));
        if (this.#isShut) fail("CLOSED", "start(): the node was closed while it opened its doors");
      }
    } catch (error) {
      this.shut();
      throw error;
    }
  }

  #listen(address: Address): Promise<Listener> {
    const { tls, origins, hosts } = this.#config;
    return this.#world.transport.listen(address, (link) => this.#admit(link)?.conversation ?? null, {
      places: this.#places,
      onRefused: (why) => this.#turnedAway(why),
      onExhausted: () => this.#tellCrowded("files"),
      onSlow: () => void this.#doorkeeper.counters.slow++,
      onUntrusted: (error) => this.#untrusted(error),
      onForeign: () => void this.#doorkeeper.counters.foreign++,
      lastWord: (text) => encodeMessage(crc32c, { type: "ERROR", code: "AUTH", text }),
      onError: (error) => this.#owner.onError(error),
      ...(tls && { tls }),
      ...(origins && { origins }),
      hosts,
    });
  }

  #turnedAway(cause: Crowding): void {
    this.#doorkeeper.counters.refused++;
    this.#refused++;
    this.#tellCrowded(cause);
  }

  #tellCrowded(cause: Crowding): void {
    if (!this.#crowdedQuiet.break()) return;
    const refused = this.#refused;
    this.#refused = 0;
    this.#owner.onCrowded({ cause, refused, links: this.#places.taken });
  }

  #untrusted(error: MemblastError): void {
    this.#doorkeeper.counters.untrusted++;
    if (this.#untrustedQuiet.break()) this.#owner.onError(error);
  }

  /** It has ended before it had come in. */
  #strangerLeft(publishing: Publishing, cause: CloseCause): void {
    const { counters } = this.#doorkeeper;
    if (cause.kind === "fault" && cause.by === "us" && cause.fault.code === "TIMEOUT") counters.slow++;
    if (!isWorthTelling(cause)) return;
    counters.faulty++;
    if (this.#faultyQuiet.break()) this.#owner.onFaulty(publishing, cause);
  }

  #admit(link: Link): Publishing | null {
    if (this.#isShut) return null;
    this.#moveOn();
    const address = addressOf(link.remote);
    const owner: PublishingOwner = {
      onReport: (publishing, report) => {
        if (report.kind === "joined") this.#doorkeeper.leave(stranger);
        this.#owner.onReport(publishing, report);
      },
      // In the midst of a commit: whoever hears of it may make another one, which is not to overtake this one on its way to others.
      onOverflow: (publishing, bytes) => this.#world.soon(() => this.#owner.onOverflow(publishing, bytes)),
      onTooSlow: () => void this.#doorkeeper.counters.tooSlow++,
      onClosed: (publishing, cause) => {
        letGo();
        this.#doorkeeper.leave(stranger);
        this.links.delete(publishing);
        if (!publishing.conversation.hasOpened) this.#strangerLeft(publishing, cause);
        this.#owner.onClosed(publishing, cause);
      },
    };
    const publishing = new Publishing(
      {
        ...this.#session,
        auth: this.#authOf(address),
        limits: { ...this.#session.limits, handshakeMs: Math.max(handshakeMs - (link.ageMs ?? 0), 0) },
      },
      this.feeds,
      () => this.#storage.version,
      this.#world,
      owner,
      {
        rights: (keyId) => this.#rightsOf(keyId),
        queueBytesMax: this.#config.queueBytesMax,
        allowance: new Allowance(this.#storage.schema, () => this.#world.now(), this.#purses.of(address)),
      },
    );
    const evict = () => {
      publishing.conversation.refuse(new ProtocolFault("LIMIT", "Too many wait at this door."));
      if (this.#places.isFull) publishing.conversation.abort(); // the next one needs the place more than this one the word
    };
    const stranger = { address, evict };
    const letGo = this.#hold(link, address);
    this.#doorkeeper.enter(stranger);
    this.links.add(publishing);
    return publishing;
  }

  /** Hears nothing of a link from where guesses came, for a while or until the result is called. */
  #hold(link: Link, address: string): () => void {
    const ms = this.#doorkeeper.holdMs(address, this.#world.random);
    if (ms === 0) return () => {};
    this.#doorkeeper.counters.held++;
    link.pause();
    return this.#world.after(ms, () => link.resume());
  }

  #rightsOf(keyId: string | null): Runs | null {
    if (!this.#config.keyring) return null;
    const rights = keyId === null ? undefined : this.#rights.get(keyId);
    return rights === undefined ? new Float64Array(0) : rights;
  }

  #authOf(address: string): PublisherConfig["auth"] {
    const { keyring } = this.#config;
    if (!keyring) return { kind: "none" };
    const verify = (keyId: string, transcript: Uint8Array, mac: Uint8Array): ProtocolFault | null => {
      if (this.#doorkeeper.isBarred(address)) {
        this.#doorkeeper.turnedAway();
        return new ProtocolFault("LIMIT", "Too many wrong proofs came from there: try again in a minute.");
      }
      if (keyring.proves(keyId, transcript, mac)) return null;
      this.#doorkeeper.failed(address);
      return new ProtocolFault("AUTH", "The proof is wrong, or of a secret that is not known here.");
    };
    return { kind: "hmac-sha256", verify };
  }

  /** With uniqueNames, a name stands for one node; its own further links, and what is left of earlier ones, are no other. */
  #objectionTo({ node, nodeId }: Peer): ProtocolFault | null {
    if (!this.#config.uniqueNames) return null;
    for (const { conversation } of this.links) {
      const { state } = conversation;
      if (state.phase !== "open" || state.peer.node !== node || state.peer.nodeId === nodeId) continue;
      return new ProtocolFault(
        "NAME_TAKEN",
        `Another node called ${node} follows here: give this one a name of its own.`,
      );
    }
    return null;
  }

  /** How it went at the door. */
  get door(): DoorStats {
    const { counters, strangers } = this.#doorkeeper;
    const { unsettled, evicted } = this.#places;
    return { ...counters, strangers: strangers + unsettled, evicted: counters.evicted + evicted };
  }

  /** Where it really listens, ports chosen by the system included. */
  get addresses(): string[] {
    return this.#listeners.map((listener) => formatAddress(listener.address));
  }

  /** At each commit: those who want every one of them are told at once. */
  committed(): void {
    const { version } = this.#storage;
    for (const feed of this.feeds.renewed("every"))
      for (const [link, subscriptions] of [...feed.followers])
        guarded(link, () => link.committedEach(version, subscriptions));
  }

  /** Tells every link that follows something that changed. */
  publish(): void {
    if (!this.#moveOn()) return;
    const version = this.#storage.version;
    for (const feed of this.feeds.renewed("latest"))
      for (const [link, subscriptions] of feed.followers)
        guarded(link, () => link.committed(version, subscriptions));
  }

  /** To the newest version; where that cannot be read, what is published stays as it is, and is tried again. */
  #moveOn(): boolean {
    if (this.#isShut) return false;
    try {
      this.#storage.advance();
      return true;
    } catch (error) {
      if (!(error instanceof MemblastError)) throw error;
      if (!this.#hasFailed) this.#owner.onError(error);
      this.#hasFailed = true;
      this.#cancelAgain?.();
      this.#cancelAgain = this.#world.after(readAgainMs, () => this.#publishAgain());
      return false;
    }
  }
  /** Since the last time that it could be read: told once, however often it is tried. */
  #hasFailed = false;

  #publishAgain(): void {
    this.#cancelAgain = null;
    this.publish();
    this.#hasFailed = this.#cancelAgain !== null;
  }

  /** Lets nobody in any more, and looks for nothing new to publish. */
  shut(): void {
    this.#isShut = true;
    this.#cancelAgain?.();
    for (const listener of this.#listeners) listener.close();
  }

  /** Whether somebody who takes bytes still has some to get. */
  get isBehind(): boolean {
    for (const link of this.links) if (link.isBehind) return true;
    return false;
  }

  /** Says goodbye on every link. They are gone once {@link Listening.links} is empty. */
  close(reason: string, retryAfterMs?: number): void {
    this.shut();
    for (const link of this.links) link.conversation.close(reason, retryAfterMs);
  }
}

/** One link's failure ends that link, and no other. */
function guarded(link: Follower, action: () => void): void {
  try {
    action();
  } catch (error) {
    link.failed(error);
  }
}
