import type { TypedArray } from "../array/dtype.ts";
import type { NdArray } from "../array/ndarray.ts";
import type { Schema } from "../array/schema.ts";
import { fail, MemblastError } from "../errors.ts";
import { checkHandler, Emitter } from "../node/runtime/emitter.ts";
import type { Conflation, LinkEvent } from "../node/runtime/events.ts";
import { guarded } from "../node/runtime/guarded.ts";
import { Mailbox } from "../node/runtime/mailbox.ts";
import type { Update } from "../node/runtime/update.ts";
import type { World } from "../node/runtime/world.ts";
import { Following } from "./following.ts";
import { checkOption, checkRate, type ClientConfig } from "./options.ts";
import type { Regions } from "./regions.ts";
import type { Subscription } from "./subscription.ts";

/** The events of a node that follows; `direction` is "out" always, `source` and `address` the URL in its canonical spelling. */
export interface ClientEvents {
  /** The link stands and the node has told what it has. */
  connect: LinkEvent;
  disconnect: LinkEvent & { readonly reason: string };
  /** What the node sent does not give the root it announced; a repair is under way. */
  mismatch: { readonly source: string; readonly version: number };
  /** In the mode "every" the node sent several versions as one, or has begun anew. */
  conflated: Conflation;
  /** What went wrong without anybody waiting for it; of an outage once for each reason, not at each attempt. */
  error: MemblastError;
}

const clientEvents: Readonly<Record<keyof ClientEvents, true>> = {
  connect: true,
  disconnect: true,
  mismatch: true,
  conflated: true,
  error: true,
};

/** Counted since the client was made, over all its links. */
export interface ClientStats {
  readonly connected: boolean;
  /** While it is not connected: why the last link ended or the last attempt failed. Null where nothing has failed. */
  readonly reason: string | null;
  readonly connects: number;
  readonly sentBytes: number;
  readonly receivedBytes: number;
  readonly deltas: number;
  readonly fullDeltas: number;
  /** Versions that were not seen by themselves: merged into a later one, or without a change to what is followed. */
  readonly conflatedVersions: number;
  /** In the mode "every", times that more commits waited for this client than the node keeps. */
  readonly overflows: number;
  readonly mismatches: number;
  /** From a PING to its answer, which comes behind everything under way: what is shown was new this long ago at most. Milliseconds. */
  readonly roundTripMs: number | null;
}

export type OnUpdate = (update: Update, client: Client) => void;

/** The arrays of a node, or regions of them, as they change. Made by {@link connect}. */
export class Client implements Disposable {
  /** Resolves with the first state; rejects where trying again is of no use (REFUSED, INVALID_REGION ...), and CLOSED after `close`. */
  readonly ready: Promise<void>;
  readonly #ready = Promise.withResolvers<void>();
  readonly #config: ClientConfig;
  readonly #following: Following;
  readonly #emitter = new Emitter(clientEvents);
  readonly #mailboxes = new Set<Mailbox<Update>>();
  readonly #handlers = new Set<OnUpdate>();

  constructor(config: ClientConfig, world: World, onUpdate: OnUpdate | undefined) {
    this.#config = config;
    if (onUpdate) this.#handlers.add(onUpdate);
    this.ready = this.#ready.promise;
    this.ready.catch(() => {}); // whoever wants to know awaits it
    const tell = (error: MemblastError) => void this.#emitter.emit("error", error);
    this.#following = new Following(config, guarded(world, tell), {
      onConnect: () => void this.#emitter.emit("connect", this.#link),
      onDisconnect: (reason) => void this.#emitter.emit("disconnect", { ...this.#link, reason }),
      onMismatch: (version) => void this.#emitter.emit("mismatch", { source: config.url, version }),
      onConflated: (conflation) => void this.#emitter.emit("conflated", conflation),
      onUpdate: (update) => this.#updated(update),
      onError: tell,
      onEnd: (error) => {
        this.#end(error);
        this.#emitter.emit("error", error);
      },
    });
    this.#following.connect();
  }

  /** "live" while the link stands; else it is being made, again and again, until the client is closed or refused for good. */
  get state(): "connecting" | "live" | "closed" {
    if (this.#following.isClosed) return "closed";
    return this.#following.isConnected ? "live" : "connecting";
  }

  get #link(): LinkEvent {
    return { peer: this.peer, direction: "out", address: this.#config.url };
  }

  /** The node's name; its address until it has said one. */
  get peer(): string {
    return this.#following.welcome?.node ?? this.#config.url;
  }

  /** All arrays that the node has; null before it has told. */
  get schema(): Schema | null {
    return this.#following.schema;
  }

  /** What can be read: the names that the regions were given, null for the main array. */
  get names(): readonly (string | null)[] {
    return [...(this.#following.shown?.arrays.keys() ?? [])];
  }

  /** The regions that can be read, as they were asked for; null: everything. */
  get regions(): Regions {
    return this.#following.shown?.options ?? null;
  }

  /**
   * A read-only view. It shows every update at once, whole versions only, and stays as it is when {@link Client.follow} has chosen
   * other regions or the client is closed. INVALID_NAME; CLOSED before `ready`.
   */
  ndarray(name: string | null = null): NdArray {
    return this.#shown().array(name);
  }

  /** The same as one typed array in C order: a view, and to be read only. */
  data(name: string | null = null): TypedArray {
    return this.ndarray(name).data;
  }

  /** The node's version that the arrays are of; 0 before the first. */
  get version(): number {
    return this.#following.shown?.replica.version ?? 0;
  }

  /** The metadata of that version; undefined where there is none. */
  get meta(): unknown {
    return this.#following.shown?.image.meta;
  }

  stats(): ClientStats {
    const { counters, traffic, roundTripMs, outage } = this.#following;
    const connected = this.state === "live";
    return { connected, reason: connected ? null : outage, ...counters, ...traffic, roundTripMs };
  }

  /** Calls `handler` after every update, also one that only brings a newer version. The result takes it away again. @throws INVALID_OPTION */
  onUpdate(handler: OnUpdate): () => void {
    checkHandler("onUpdate()", handler);
    this.#handlers.add(handler);
    return () => void this.#handlers.delete(handler);
  }

  /** The same as a stream. A slow consumer gets several updates as one, and misses nothing. Ends with the client. */
  updates(): AsyncIterableIterator<Update> {
    const mailbox: Mailbox<Update> = new Mailbox(
      (earlier, later) => earlier.merge(later),
      () => this.#mailboxes.delete(mailbox),
    );
    if (this.state === "closed") mailbox.end();
    else this.#mailboxes.add(mailbox);
    return mailbox;
  }

  /** Returns a function that takes the handler away again. @throws INVALID_OPTION */
  on<Name extends keyof ClientEvents>(name: Name, handler: (event: ClientEvents[Name]) => void): () => void {
    return this.#emitter.on(name, handler);
  }

  /**
   * Follows other regions (null: everything). What was there stays readable until the first state of the new ones is, which
   * resolves the promise. Rejects with INVALID_OPTION, INVALID_REGION, INVALID_NAME, NO_SPACE or REFUSED: then what was followed before
   * goes on.
   * Where the node says that it was too much in too short a time, it is asked again every second, and what was there stands still.
   */
  async follow(regions: Regions): Promise<void> {
    if (this.state === "closed") fail("CLOSED", "The client is closed");
    checkOption("regions", regions);
    await this.#following.follow(regions);
  }

  /** Updates a second at most, from now on and on every later link; null: as many as the link carries. @throws INVALID_OPTION, CLOSED */
  setRate(perSecond: number | null): void {
    if (this.state === "closed") fail("CLOSED", "The client is closed");
    checkRate(perSecond);
    this.#following.setRate(perSecond);
  }

  /** Ends the link. What was there stays readable. Twice is nothing. */
  close(): void {
    this.#following.close();
    this.#end(new MemblastError("CLOSED", "The client was closed"));
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #shown(): Subscription {
    return (
      this.#following.shown ?? fail("CLOSED", `Nothing has come from ${this.#config.url} yet: await ready`)
    );
  }

  #updated(update: Update): void {
    this.#ready.resolve();
    for (const handler of this.#handlers) {
      if (this.state === "closed") return; // by the one before
      try {
        handler(update, this);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
    for (const mailbox of this.#mailboxes) mailbox.put(update);
  }

  #end(error: MemblastError): void {
    this.#ready.reject(error);
    for (const mailbox of this.#mailboxes) mailbox.end();
  }
}
