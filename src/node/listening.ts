import { schemaToJson } from "../array/schema.ts";
import { defaultLimits } from "../protocol/limits.ts";
import type { PublisherConfig } from "../protocol/publisher_state.ts";
import type { Address } from "../transport/address.ts";
import { formatAddress } from "../transport/address.ts";
import type { Listener } from "../transport/link.ts";
import { Feeds } from "./feed.ts";
import type { NodeConfig } from "./options.ts";
import { Publishing, type PublishingOwner } from "./publishing.ts";
import type { Storage } from "./storage.ts";
import type { World } from "./world.ts";

/** Who a node is on the network. */
export interface Identity {
  readonly name: string;
  /** 32 hex characters, new with every start. */
  readonly id: string;
}

/** The doors of a node: its listeners, the links that came in by them, and what they follow. */
export class Listening {
  readonly feeds: Feeds;
  readonly links = new Set<Publishing>();
  readonly #listeners: Listener[] = [];
  readonly #storage: Storage;
  readonly #world: World;
  readonly #config: NodeConfig;
  readonly #session: PublisherConfig;
  readonly #owner: PublishingOwner;

  constructor(
    storage: Storage,
    identity: Identity,
    config: NodeConfig,
    world: World,
    owner: PublishingOwner,
  ) {
    this.#storage = storage;
    this.#config = config;
    this.#world = world;
    this.#owner = owner;
    this.feeds = new Feeds(storage);
    this.#session = {
      node: identity.name,
      nodeId: identity.id,
      incarnation: storage.segment.incarnation,
      schema: schemaToJson(storage.schema),
      auth: { kind: "none" },
      limits: { ...defaultLimits, heartbeatMs: config.heartbeatMs },
    };
  }

  /** Opens every door or none: ADDRESS_IN_USE, INVALID_ADDRESS. */
  async open(): Promise<void> {
    try {
      for (const address of this.#config.listen) this.#listeners.push(await this.#listen(address));
    } catch (error) {
      this.#shut();
      throw error;
    }
  }

  #listen(address: Address): Promise<Listener> {
    const { connectionsMax, tls } = this.#config;
    return this.#world.transport.listen(address, () => this.#admit().conversation, {
      connectionsMax,
      ...(tls && { tls }),
    });
  }

  #admit(): Publishing {
    const publishing = new Publishing(this.#session, this.feeds, () => this.#storage.version, this.#world, {
      onReport: (link, report) => this.#owner.onReport(link, report),
      onClosed: (link, cause) => {
        this.links.delete(link);
        this.#owner.onClosed(link, cause);
      },
    });
    this.links.add(publishing);
    return publishing;
  }

  /** Where it really listens, ports chosen by the system included. */
  get addresses(): string[] {
    return this.#listeners.map((listener) => formatAddress(listener.address));
  }

  /** Tells every link that follows something that changed. */
  publish(): void {
    const version = this.#storage.version;
    for (const feed of this.feeds.renewed())
      for (const [link, subscriptions] of feed.followers) link.committed(version, subscriptions);
  }

  #shut(): void {
    for (const listener of this.#listeners) listener.close();
  }

  /** Says goodbye on every link. They are gone once {@link Listening.links} is empty. */
  close(reason: string): void {
    this.#shut();
    for (const link of this.links) link.conversation.close(reason);
  }
}
