import { schemaToJson } from "../array/schema.ts";
import type { Runs } from "../delta/runs.ts";
import { fail } from "../errors.ts";
import { ProtocolFault } from "../protocol/fault.ts";
import { defaultLimits, payloadBytesMax } from "../protocol/limits.ts";
import type { Peer, PublisherConfig } from "../protocol/publisher_state.ts";
import type { Address } from "../transport/address.ts";
import { formatAddress } from "../transport/address.ts";
import type { Link, Listener } from "../transport/link.ts";
import { addressOf, Doorkeeper } from "./doorkeeper.ts";
import { Feeds } from "./feed.ts";
import type { NodeConfig } from "./options.ts";
import { Publishing, type PublishingOwner } from "./publishing.ts";
import type { Published } from "./shadow.ts";
import type { DoorStats } from "./stats.ts";
import type { World } from "./world.ts";

/** Who a node is on the network. */
export interface Identity {
  readonly name: string;
  /** 32 hex characters, new with every start. */
  readonly id: string;
}

/** A link has this long to come through the handshake, ms; with what is left to say it is gone within three seconds. */
const handshakeMs = 2_500;

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
  readonly #owner: PublishingOwner;
  readonly #doorkeeper: Doorkeeper;
  /** Bytes that each key opens. */
  readonly #rights: ReadonlyMap<string, Runs | null>;

  constructor(
    storage: Published,
    identity: Identity,
    config: NodeConfig,
    world: World,
    owner: PublishingOwner,
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
    this.feeds = new Feeds(storage);
    this.#doorkeeper = new Doorkeeper(() => world.now());
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

  /** Opens every door or none: ADDRESS_IN_USE, INVALID_ADDRESS. */
  async open(): Promise<void> {
    try {
      for (const address of this.#config.listen) this.#listeners.push(await this.#listen(address));
    } catch (error) {
      this.shut();
      throw error;
    }
  }

  #listen(address: Address): Promise<Listener> {
    const { connectionsMax, tls, origins, hosts } = this.#config;
    return this.#world.transport.listen(address, (link) => this.#admit(link).conversation, {
      connectionsMax,
      ...(tls && { tls }),
      ...(origins && { origins }),
      hosts,
    });
  }

  #admit(link: Link): Publishing {
    this.#storage.advance();
    const address = addressOf(link.remote);
    const owner: PublishingOwner = {
      onReport: (publishing, report) => {
        if (report.kind === "joined") this.#doorkeeper.leave(stranger);
        this.#owner.onReport(publishing, report);
      },
      onOverflow: (publishing, bytes) => this.#owner.onOverflow(publishing, bytes),
      onClosed: (publishing, cause) => {
        this.#doorkeeper.leave(stranger);
        this.links.delete(publishing);
        const isSlow = cause.kind === "fault" && cause.by === "us" && cause.fault.code === "TIMEOUT";
        if (isSlow && !publishing.conversation.hasOpened) this.#doorkeeper.counters.slow++;
        this.#owner.onClosed(publishing, cause);
      },
    };
    const publishing = new Publishing(
      { ...this.#session, auth: this.#authOf(address) },
      this.feeds,
      () => this.#storage.version,
      this.#world,
      owner,
      {
        rights: (keyId) => this.#rightsOf(keyId),
        queueBytesMax: this.#config.queueBytesMax,
      },
    );
    const evict = () =>
      publishing.conversation.refuse(new ProtocolFault("LIMIT", "Too many wait at this door."));
    const stranger = { address, evict };
    this.#doorkeeper.enter(stranger);
    this.links.add(publishing);
    return publishing;
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
    return { strangers: this.#doorkeeper.strangers, ...this.#doorkeeper.counters };
  }

  /** Where it really listens, ports chosen by the system included. */
  get addresses(): string[] {
    return this.#listeners.map((listener) => formatAddress(listener.address));
  }

  /** At each commit: those who want every one of them are told at once. */
  committed(): void {
    const { version } = this.#storage;
    for (const feed of this.feeds.renewed("every"))
      for (const [link, subscriptions] of [...feed.followers]) link.committedEach(version, subscriptions);
  }

  /** Tells every link that follows something that changed. */
  publish(): void {
    this.#storage.advance();
    const version = this.#storage.version;
    for (const feed of this.feeds.renewed("latest"))
      for (const [link, subscriptions] of feed.followers) link.committed(version, subscriptions);
  }

  /** Lets nobody in any more. */
  shut(): void {
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
