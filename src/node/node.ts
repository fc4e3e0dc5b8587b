import { isStamped } from "../array/companion.ts";
import type { NdArray } from "../array/ndarray.ts";
import type { Schema } from "../array/schema.ts";
import { HybridClock } from "../delta/stamp.ts";
import { fail, MemblastError } from "../errors.ts";
import { placeOf } from "../memory/place.ts";
import { formatAddress, parseAddress } from "../transport/address.ts";
import { Audience } from "./audience.ts";
import { noDoor } from "./doors/counters.ts";
import { Listening } from "./doors/listening.ts";
import { listeningOwner } from "./doors/telling.ts";
import { Following, type FollowingOwner } from "./following/following.ts";
import { followingEvents } from "./following/telling.ts";
import { type AttachOptions, parseAttachOptions } from "./options/attaching.ts";
import { checkClose, type CloseOptions } from "./options/closing.ts";
import { type NodeConfig, parseStartOptions } from "./options/config.ts";
import { refuseNamesake } from "./options/contradiction.ts";
import { checkName, type StartOptions } from "./options/options.ts";
import { checkRate, refuseRateOf } from "./options/pace.ts";
import { checkHandler, Emitter } from "./runtime/emitter.ts";
import { type LinkEvent, nodeEvents, type NodeEvents } from "./runtime/events.ts";
import { guarded } from "./runtime/guarded.ts";
import type { Identity } from "./runtime/identity.ts";
import type { Update } from "./runtime/update.ts";
import { until } from "./runtime/until.ts";
import { realWorld, type World } from "./runtime/world.ts";
import { type NodeStats, followingStats, publishingStats } from "./stats.ts";
import { Copy } from "./storage/copy.ts";
import type { Verification } from "./storage/damage.ts";
import { adoptedSchema, openStorage, ownSchema } from "./storage/opening.ts";
import { followedRuns } from "./storage/ownership.ts";
import { Storage, type Transaction, type View } from "./storage/storage.ts";
import { Watching } from "./storage/watching.ts";

export type { LinkEvent, NodeEvents };

export type OnUpdate = (update: Update, node: Node) => void;

/** How long a closing node waits for the last bytes to leave. */
const goodbyeMs = 1000;

/** How long it then waits for links that it has broken itself to say so: until they have, they may look at its memory. */
const lastWordMs = 200;

/**
 * A named participant: arrays in one segment, any number of followers, and of servers that it follows itself. Made by {@link start}
 * and {@link attach}.
 */
export class Node implements AsyncDisposable {
  readonly name: string;
  /** Resolves when every server has delivered its first state; at once where none is followed. */
  readonly ready: Promise<void>;
  readonly #world: World;
  readonly #emitter = new Emitter(nodeEvents);
  readonly #audience = new Audience();
  readonly #followings: Following[] = [];
  #storage!: Storage;
  #listening: Listening | null = null;
  #watching: Watching | null = null;
  #isPublishing = false;
  #closing: Promise<void> | null = null;
  #isClosed = false;

  private constructor(name: string, world: World) {
    this.name = name;
    this.#world = guarded(world, (error) => this.#error(error));
    this.ready = Promise.resolve().then(async () => {
      await Promise.all(this.#followings.map((following) => following.ready));
    });
    this.ready.catch(() => {}); // whoever wants to know awaits it
  }

  /** See {@link start}. */
  static async start(name: string, options: StartOptions<OnUpdate>, world: World = realWorld): Promise<Node> {
    checkName(name);
    const config = parseStartOptions(options);
    refuseNamesake(name, config.servers);
    const node = new Node(name, world);
    if (options.onUpdate) node.onUpdate(options.onUpdate);
    if (options.onError) node.on("error", options.onError);
    const identity = { name, id: Buffer.from(world.randomBytes(16)).toString("hex") };
    try {
      const clock = new HybridClock(world.wallMs, Number.parseInt(identity.id.slice(0, 8), 16));
      const schema = ownSchema(config);
      if (schema) node.#storage = openStorage(name, schema, config, clock);
      await node.#follow(identity, config, clock);
      node.#living(); // an update may have come, and who was told of it closed the node
      node.#watchOthers();
      if (config.listen.length) node.#watch();
      node.#listening = new Listening(
        node.#storage.published,
        identity,
        config,
        node.#world,
        listeningOwner(node.#emitter, (error) => node.#error(error)),
      );
      await node.#listening.open();
    } catch (error) {
      await node.close();
      throw error;
    }
    return node;
  }

  /** See {@link attach}. */
  static async attach(nameOrPath: string, options: AttachOptions<OnUpdate> = {}): Promise<Node> {
    const config = parseAttachOptions(options);
    const node = new Node(placeOf(nameOrPath).name, realWorld);
    node.#storage = Storage.attach(nameOrPath, config, new HybridClock(Date.now, process.pid));
    node.#watchOthers();
    if (options.onError) node.on("error", options.onError);
    if (options.onUpdate) node.onUpdate(options.onUpdate);
    return node;
  }

  /** Beside other writers a node looks for what they do, should anybody want to know. */
  #watchOthers(): void {
    if (this.#storage.isSole) return;
    this.#watching = new Watching(this.name, this.#storage, {
      onUpdate: (update) => {
        this.#audience.tell(update);
        this.#publishSoon();
      },
      onError: (error) => this.#error(error),
    });
    if (!this.#audience.isEmpty) this.#watch();
  }

  /** Starts to follow; a node without arrays of its own waits here until the first server has shown its own. */
  async #follow(identity: Identity, config: NodeConfig, clock: HybridClock): Promise<void> {
    const adopted = Promise.withResolvers<void>();
    const { signal } = config;
    signal?.throwIfAborted();
    const callOff = () => adopted.reject(signal!.reason);
    signal?.addEventListener("abort", callOff);
    const owner: FollowingOwner = {
      ...this.#followingOwner(),
      storageFor: (schema) => {
        this.#storage ??= openStorage(this.name, adoptedSchema(schema, config), config, clock);
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
    if (this.#storage) adopted.resolve();
    await adopted.promise.finally(() => signal?.removeEventListener("abort", callOff));
  }

  #followingOwner(): Omit<FollowingOwner, "storageFor"> {
    return {
      ...followingEvents(this.#emitter),
      onUpdate: (_, update) => {
        this.#committed();
        this.#watching?.passOver(update.from, update.version);
        this.#audience.tell(update);
        this.#publishSoon();
      },
      onError: (_, error) => this.#error(error),
      onGivenUp: () => this.#disown(),
    };
  }

  /** What a server that was given up wrote, this node may write. */
  #disown(): void {
    if (!this.#storage || isStamped(this.#storage.schema)) return; // of a mesh, or passing it on: what has stamps stays with it
    const servers = this.#followings.filter(({ givenUp }) => !givenUp).map(({ server }) => server);
    this.#attempt(() => this.#storage.follow(followedRuns(this.#storage.schema, { servers, mesh: false })));
  }

  #error(error: MemblastError): void {
    if (!this.#emitter.emit("error", error))
      process.emitWarning(error.message, { type: "MemblastWarning", code: error.code });
  }

  #living(): Storage {
    return this.#closing ? fail("CLOSED", `Node ${this.name} is closed`) : this.#storage;
  }

  /** For those who only read: they may until the memory is gone, as handlers do that are called while the node closes. */
  #readable(): Storage {
    return this.#isClosed ? this.#living() : this.#storage;
  }

  /**
   * Runs `fn` as one transaction: everything it changes becomes the next version, visible at once and whole; what it throws undoes
   * everything and is thrown on. No version is made where no bit changed. Returns the version that then stands.
   * With many writers it waits for its turn first, up to `lockTimeoutMs`, and this thread with it.
   * @throws NESTED_WRITE, ASYNC_CALLBACK, READ_ONLY, LOCKED, CLOSED, TRUNCATED, STALE
   */
  write(fn: (main: NdArray, tx: Transaction) => unknown): number {
    const storage = this.#living();
    if (storage.write(fn) > 0) this.#wrote(storage.endedVersion);
    return storage.endedVersion;
  }

  /**
   * Looks for bytes that changed without a commit: a stray write, a hole in the file, a bad bit. Re-hashes the committed image against
   * the checksums of the call before, for every block not committed since (the first call only learns them: make it early), and as a
   * writer also compares the working image with it, byte for byte, and the version table, the redo page and the state words with
   * each other; the header has a checksum of its own. So a writer finds every single changed byte of these, a reader those of the
   * header and the committed image. Names what is damaged, mends nothing. Reads both images once; with many writers it takes a turn.
   * @throws NESTED_WRITE inside of write(), LOCKED, TRUNCATED, CLOSED
   */
  verify(): Verification {
    return this.#readable().verify();
  }

  /**
   * Calls `fn` with one version of everything: the main array and a view with the others, the version and its metadata. For the
   * callback only: what should outlive it must be copied. Costs nothing in the process that writes, a copy of the image elsewhere.
   */
  read<R>(fn: (main: NdArray, view: View) => R): R {
    return this.#readable().read(fn);
  }

  /** A private copy of one array (the main one by default) and the version it is of. */
  snapshot(name: string | null = null): { version: number; array: NdArray } {
    return this.#readable().snapshot(name);
  }

  /**
   * A private copy of some arrays (the main one by default), all of one version, that can be brought up to date: only what changed is
   * copied again. Cheaper than {@link Node.snapshot} for who looks more than once. @throws INVALID_NAME, NO_SPACE
   */
  copy(names: readonly (string | null)[] = [null]): Copy {
    const copy = new Copy(() => this.#readable(), names);
    copy.refresh();
    return copy;
  }

  /**
   * A live read-only view of the committed bytes, without a copy: it changes with every commit, and two looks may see two versions.
   * It ends with the node: after `close()` it throws CLOSED.
   */
  ndarray(name: string | null = null): NdArray {
    return this.#readable().live(name);
  }

  /** Metadata of the newest version; a follower has those of the first of its servers, until somebody writes its own. */
  get meta(): unknown {
    return this.#readable().meta;
  }

  /** Inside `write()`, the same as `tx.meta = value`. @throws NOT_IN_WRITE */
  versionMeta(value: unknown): void {
    this.#living().setMeta(value);
  }

  /**
   * This node's version under its own name, and under each server's address the version of it that this node has: that of the last delta,
   * so it stays where the server changed nothing that is followed. Of a server that is followed several times, the lowest.
   */
  get version(): Record<string, number> {
    const versions: Record<string, number> = { [this.name]: this.#readable().version };
    for (const { server, version } of this.#followings)
      versions[server.key] = Math.min(versions[server.key] ?? Infinity, version);
    return versions;
  }

  /** Deltas a second that `server`, by its address, is to send at most; null is as fast as it goes. @throws INVALID_OPTION, CLOSED */
  setRate(server: string | number, perSecond: number | null): void {
    this.#living();
    const rate = checkRate(perSecond);
    const key = formatAddress(parseAddress(server));
    const followings = this.#followings.filter((following) => following.server.key === key);
    if (followings.length === 0) refuseRateOf(key, Object.keys(this.version).slice(1));
    for (const following of followings) following.setRate(rate);
  }

  get schema(): Schema {
    return this.#readable().schema;
  }

  /** Where it listens, with the ports that the system chose. */
  get addresses(): string[] {
    return this.#listening?.addresses ?? [];
  }

  /** Calls `handler` after every version that this node did not write itself. The result takes it away again. @throws CLOSED, INVALID_OPTION */
  onUpdate(handler: OnUpdate): () => void {
    this.#living();
    checkHandler("onUpdate()", handler);
    this.#watch();
    return this.#audience.add((update) => handler(update, this));
  }

  /** The same as a stream. A slow consumer gets several updates as one, and misses nothing. Ends with the node. */
  updates(): AsyncIterableIterator<Update> {
    if (!this.#closing) this.#watch();
    return this.#audience.stream();
  }

  /** Calls `handler` at each such event. The result takes it away again. @throws INVALID_OPTION */
  on<Name extends keyof NodeEvents>(name: Name, handler: (event: NodeEvents[Name]) => void): () => void {
    return this.#emitter.on(name, handler);
  }

  stats(): NodeStats {
    const storage = this.#readable();
    const incoming = [...(this.#listening?.links ?? [])].map(publishingStats);
    return {
      name: this.name,
      version: storage.version,
      incarnation: storage.segment.incarnation,
      imageBytes: storage.schema.imageBytes,
      ...storage.segment.counters,
      encodings: this.#listening?.feeds.encoded ?? 0,
      door: this.#listening?.door ?? noDoor,
      links: [...incoming, ...this.#followings.map(followingStats)],
    };
  }

  #wrote(version: number): void {
    if (this.#watching !== null) this.#watching.passOver(version - 1, version);
    this.#committed();
    this.#publishSoon();
  }

  /** At once and at every commit, for those who want every one. */
  #committed(): void {
    if (this.#listening?.feeds.hasEach) this.#attempt(() => this.#listening?.committed());
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

  /**
   * Lets nobody in any more, sends followers what is committed, says goodbye, and unmaps; takes up to a second for it, half of it for
   * followers that do not keep up. Views become empty. Twice is nothing. @throws INVALID_OPTION
   */
  close(options: CloseOptions = {}): Promise<void> {
    checkClose(options);
    if (this.#closing) return this.#closing;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#closing = promise; // before it begins: who hears of an error on the way may close the node as well
    resolve(this.#close(options.retryAfterMs));
    return promise;
  }

  async #close(retryAfterMs?: number): Promise<void> {
    this.#audience.end(); // who is told of an update would find the node closed
    try {
      this.#attempt(() => this.#listening?.publish());
      this.#listening?.shut();
      for (const following of this.#followings) following.close();
      const begun = this.#world.now();
      await until(this.#world, () => !this.#listening?.isBehind, begun + goodbyeMs / 2);
      this.#listening?.close("closing", retryAfterMs);
      await until(this.#world, () => !this.#isLinked, begun + goodbyeMs);
      for (const link of this.#listening?.links ?? []) link.conversation.abort();
      for (const following of this.#followings) following.abort();
      await until(this.#world, () => !this.#isLinked, begun + goodbyeMs + lastWordMs);
      await this.#watching?.close();
    } finally {
      this.#isClosed = true;
      this.#storage?.close();
    }
  }

  get #isLinked(): boolean {
    return (this.#listening?.links.size ?? 0) > 0 || this.#followings.some((following) => following.isLinked);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
