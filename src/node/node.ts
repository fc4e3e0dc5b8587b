import type { NdArray } from "../array/ndarray.ts";
import { makeSchema, type Schema } from "../array/schema.ts";
import { fail, MemblastError } from "../errors.ts";
import { placeOf } from "../memory/place.ts";
import { nameCharactersMax } from "../protocol/limits.ts";
import { causeText } from "./conversation.ts";
import { Emitter } from "./emitter.ts";
import { Following, type FollowingOwner } from "./following.ts";
import { type Identity, Listening } from "./listening.ts";
import { Mailbox } from "./mailbox.ts";
import {
  type AttachOptions,
  type NodeConfig,
  parseAttachOptions,
  parseStartOptions,
  type StartOptions,
} from "./options.ts";
import { type NodeStats, followingStats, publishingStats } from "./stats.ts";
import { Storage, type Transaction, type View } from "./storage.ts";
import type { Update } from "./update.ts";
import { Watching } from "./watching.ts";
import { realWorld, type World } from "./world.ts";

/** One link coming or going. */
export interface LinkEvent {
  /** Name of the node at the other end, or its address where it has not said one. */
  readonly peer: string;
  /** "in": it follows us; "out": we follow it. */
  readonly direction: "in" | "out";
  readonly address: string;
}

export interface NodeEvents {
  connect: LinkEvent;
  disconnect: LinkEvent & { readonly reason: string };
  /** What a server sent does not give the root it announced; a repair is under way. */
  mismatch: { readonly source: string; readonly version: number };
  /** What went wrong without anybody waiting for it. Without a handler it becomes a process warning. */
  error: MemblastError;
}

export type OnUpdate = (update: Update, node: Node) => void;

/** How long a closing node waits for the last bytes to leave. */
const goodbyeMs = 1000;

/**
 * A named participant: arrays in one segment, any number of followers, and of servers that it follows itself. Made by {@link start}
 * and {@link attach}.
 */
export class Node implements AsyncDisposable {
  readonly name: string;
  /** Resolves when every server has delivered its first state; at once where none is followed. */
  readonly ready: Promise<void>;
  readonly #world: World;
  readonly #emitter = new Emitter<NodeEvents>();
  readonly #updateHandlers = new Set<OnUpdate>();
  readonly #mailboxes = new Set<Mailbox<Update>>();
  readonly #followings: Following[] = [];
  #storage!: Storage;
  #listening: Listening | null = null;
  #watching: Watching | null = null;
  #isPublishing = false;
  #closing: Promise<void> | null = null;

  private constructor(name: string, world: World) {
    this.name = name;
    this.#world = world;
    this.ready = Promise.resolve().then(async () => {
      await Promise.all(this.#followings.map((following) => following.ready));
    });
    this.ready.catch(() => {}); // whoever wants to know awaits it
  }

  /** See {@link start}. */
  static async start(name: string, options: StartOptions<OnUpdate>, world: World = realWorld): Promise<Node> {
    const config = parseStartOptions(options);
    checkName(name);
    const node = new Node(name, world);
    if (options.onUpdate) node.onUpdate(options.onUpdate);
    const identity = { name, id: Buffer.from(world.randomBytes(16)).toString("hex") };
    try {
      const schema = config.arrays.length ? makeSchema(config.arrays, config.metaBytesMax) : null;
      if (schema) node.#storage = openStorage(name, schema, config);
      await node.#follow(identity, config);
      node.#listening = new Listening(node.#storage, identity, config, world, node.#publishingOwner());
      await node.#listening.open();
    } catch (error) {
      await node.close();
      throw error;
    }
    return node;
  }

  /** See {@link attach}. */
  static async attach(nameOrPath: string, options: AttachOptions<OnUpdate> = {}): Promise<Node> {
    const { mode, unsafeFilesystem } = parseAttachOptions(options);
    const node = new Node(placeOf(nameOrPath).name, realWorld);
    node.#storage = Storage.attach(nameOrPath, { mode, unsafeFilesystem });
    node.#watching = new Watching(node.name, node.#storage, (update) => node.#updated(update));
    if (options.onUpdate) node.onUpdate(options.onUpdate);
    return node;
  }

  /** Starts to follow; a node without arrays of its own waits here until the first server has shown its own. */
  async #follow(identity: Identity, config: NodeConfig): Promise<void> {
    const adopted = Promise.withResolvers<void>();
    const owner: FollowingOwner = {
      ...this.#followingOwner(),
      storageFor: (schema) => {
        this.#storage ??= openStorage(this.name, schema, config);
        adopted.resolve();
        return this.#storage;
      },
    };
    for (const server of config.servers) {
      const following = new Following(server, identity, config, this.#world, owner);
      following.ready.catch(adopted.reject);
      this.#followings.push(following);
      following.connect();
    }
    if (!this.#storage) await adopted.promise;
    else adopted.promise.catch(() => {});
  }

  #followingOwner(): Omit<FollowingOwner, "storageFor"> {
    const event = (following: Following): LinkEvent => ({
      peer: following.peer,
      direction: "out",
      address: following.server.key,
    });
    return {
      onUpdate: (_, update) => {
        this.#updated(update);
        this.#publishSoon();
      },
      onConnect: (following) => this.#emitter.emit("connect", event(following)),
      onDisconnect: (following, reason) => this.#emitter.emit("disconnect", { ...event(following), reason }),
      onMismatch: (following, version) =>
        this.#emitter.emit("mismatch", { source: following.server.key, version }),
      onError: (_, error) => this.#error(error),
    };
  }

  #publishingOwner(): ConstructorParameters<typeof Listening>[4] {
    return {
      onReport: (link, report) => {
        if (report.kind !== "joined") return;
        this.#emitter.emit("connect", {
          peer: link.peer,
          direction: "in",
          address: link.conversation.remote,
        });
      },
      onClosed: (link, cause) => {
        const { peer, conversation } = link;
        const reason = causeText(cause, conversation.cutBy);
        this.#emitter.emit("disconnect", { peer, direction: "in", address: conversation.remote, reason });
        if (cause.kind === "fault")
          this.#error(
            new MemblastError("PROTOCOL", `Link from ${peer}: ${reason}`, { reason: cause.fault.code }),
          );
      },
    };
  }

  #error(error: MemblastError): void {
    if (!this.#emitter.emit("error", error))
      process.emitWarning(error.message, { type: "MemblastWarning", code: error.code });
  }

  #living(): Storage {
    if (this.#closing) fail("CLOSED", `Node ${this.name} is closed`);
    return this.#storage;
  }

  /**
   * Runs `fn` as one transaction: everything it changes becomes the next version, visible at once and whole; what it throws undoes
   * everything and is thrown on. No version is made where no bit changed. Returns the version that then stands.
   * @throws NESTED_WRITE, ASYNC_WRITE, READ_ONLY, CLOSED, TRUNCATED
   */
  write(fn: (main: NdArray, tx: Transaction) => unknown): number {
    const storage = this.#living();
    if (storage.write(fn) > 0) this.#publishSoon();
    return storage.version;
  }

  /**
   * Calls `fn` with one version of everything: the main array and a view with the others, the version and its metadata. For the
   * callback only: what should outlive it must be copied. Costs nothing in the process that writes, a copy of the image elsewhere.
   */
  read<R>(fn: (main: NdArray, view: View) => R): R {
    return this.#living().read(fn);
  }

  /** A private copy of one array (the main one by default) and the version it is of. */
  snapshot(name: string | null = null): { version: number; array: NdArray } {
    return this.#living().snapshot(name);
  }

  /**
   * A live read-only view of the committed bytes, without a copy: it changes with every commit, and two looks may see two versions.
   * It ends with the node: after `close()` it throws CLOSED.
   */
  ndarray(name: string | null = null): NdArray {
    return this.#living().live(name);
  }

  /** Metadata of the newest version; a follower has that of its source. */
  get meta(): unknown {
    return this.#living().meta;
  }

  /** Inside `write()`, the same as `tx.meta = value`. @throws NOT_IN_WRITE */
  versionMeta(value: unknown): void {
    this.#living().setMeta(value);
  }

  /** This node's version under its own name, and under each server's address the version of it that this node has. */
  get version(): Record<string, number> {
    const versions: Record<string, number> = { [this.name]: this.#living().version };
    for (const following of this.#followings) versions[following.server.key] = following.version;
    return versions;
  }

  get schema(): Schema {
    return this.#living().schema;
  }

  /** Where it listens, with the ports that the system chose. */
  get addresses(): string[] {
    return this.#listening?.addresses ?? [];
  }

  /** Calls `handler` after every version that this node did not write itself. The result takes it away again. */
  onUpdate(handler: OnUpdate): () => void {
    this.#updateHandlers.add(handler);
    this.#watch();
    return () => void this.#updateHandlers.delete(handler);
  }

  /** The same as a stream. A slow consumer gets several updates as one, and misses nothing. Ends with the node. */
  updates(): AsyncIterableIterator<Update> {
    const mailbox: Mailbox<Update> = new Mailbox(
      (earlier, later) => earlier.merge(later),
      () => this.#mailboxes.delete(mailbox),
    );
    if (this.#closing) mailbox.end();
    else this.#mailboxes.add(mailbox);
    this.#watch();
    return mailbox;
  }

  on<Name extends keyof NodeEvents>(name: Name, handler: (event: NodeEvents[Name]) => void): () => void {
    return this.#emitter.on(name, handler);
  }

  stats(): NodeStats {
    const storage = this.#living();
    const incoming = [...(this.#listening?.links ?? [])].map(publishingStats);
    return {
      name: this.name,
      version: storage.version,
      incarnation: storage.segment.incarnation,
      imageBytes: storage.schema.imageBytes,
      ...storage.segment.counters,
      encodings: this.#listening?.feeds.encoded ?? 0,
      links: [...incoming, ...this.#followings.map(followingStats)],
    };
  }

  #updated(update: Update): void {
    for (const handler of this.#updateHandlers)
      try {
        handler(update, this);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    for (const mailbox of this.#mailboxes) mailbox.put(update);
  }

  /** Once for all commits of this job: followers get them as one, waiting processes are woken by one system call. */
  #publishSoon(): void {
    if (this.#isPublishing) return;
    this.#isPublishing = true;
    this.#world.soon(() => {
      this.#isPublishing = false;
      if (this.#closing) return;
      this.#attempt(() => {
        this.#storage.segment.ring();
        this.#listening?.publish();
      });
    });
  }

  /** Runs what nobody waits for: its errors become events. */
  #attempt(action: () => void): void {
    try {
      action();
    } catch (error) {
      if (!(error instanceof MemblastError)) throw error;
      this.#error(error);
    }
  }

  #watch(): void {
    this.#watching?.open().catch((error) => this.#error(error));
  }

  /** Says goodbye to everybody, waits up to a second for the last bytes to leave, and unmaps. Views become empty. Twice is nothing. */
  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  async #close(): Promise<void> {
    this.#listening?.publish();
    this.#listening?.close("closing");
    for (const following of this.#followings) following.close();
    const deadline = this.#world.now() + goodbyeMs;
    while (this.#isLinked && this.#world.now() < deadline)
      await new Promise<void>((resolve) => this.#world.after(1, resolve));
    await this.#watching?.close();
    for (const mailbox of this.#mailboxes) mailbox.end();
    this.#storage?.close();
  }

  get #isLinked(): boolean {
    return (this.#listening?.links.size ?? 0) > 0 || this.#followings.some((following) => following.isLinked);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function checkName(name: unknown): void {
  if (typeof name === "string" && name.length > 0 && name.length <= nameCharactersMax && !/\p{C}/u.test(name))
    return;
  fail("INVALID_NAME", `A node needs a name of 1 to ${nameCharactersMax} printable characters`, { name });
}

function openStorage(name: string, schema: Schema, config: NodeConfig): Storage {
  const { share, persist, unsafeFilesystem } = config;
  return share
    ? Storage.createShared(name, schema, { persist, unsafeFilesystem })
    : Storage.createPrivate(schema);
}
