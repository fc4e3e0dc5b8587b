import type { ErrorCode, MemblastError } from "../../errors.ts";
import type { Crc32c } from "../../protocol/crc32c.ts";
import { hexOf } from "../../protocol/cursor.ts";
import { followerDeadline, stepFollower } from "../../protocol/follower.ts";
import type { FollowerAction, FollowerEvent, FollowerState } from "../../protocol/follower_state.ts";
import type { CloseCause, LinkAction } from "../../protocol/session.ts";
import type { Address } from "../../transport/address.ts";
import type { ConnectReason } from "../../transport/failure.ts";
import type { TlsOptions } from "../../transport/tls.ts";
import { type Backoff, backoffMs } from "../options/reconnect.ts";
import { causeText, Conversation, type ConversationOwner } from "../runtime/conversation.ts";
import type { World } from "../runtime/world.ts";
import { endingOf } from "./ending.ts";

/** Who is dialled, and how. */
export interface LineTarget {
  readonly address: Address;
  /** What it is called in messages. */
  readonly key: string;
  readonly backoff: Backoff;
  readonly tls?: TlsOptions | undefined;
  readonly crc32c: Crc32c;
}

/** What a line tells who uses it. */
export interface LineOwner {
  /** The session of the next link. */
  begin(): FollowerState;
  perform(action: Exclude<FollowerAction, LinkAction>): void;
  /** A link has ended; said before anything else about it. */
  onEnd(): void;
  /** The same, of one whose welcome has been told by {@link Line.welcomed}. */
  onDisconnect(reason: string): void;
  onError(error: MemblastError): void;
  /** The same attempt would end in the same way: the owner closes the line. */
  onHopeless(error: MemblastError): void;
}

/** After an end that was told, it is no news that nobody is there. */
const absences: readonly ConnectReason[] = ["refused", "timeout", "unknown host", "unreachable"];

function keyOf(code: ErrorCode, reason: unknown): string {
  return `${code} ${String(reason)}`;
}

/** A follower's way to one server: one link at a time, and after every loss another one, until it is closed. */
export class Line implements ConversationOwner<FollowerEvent, FollowerAction> {
  readonly #target: LineTarget;
  readonly #world: World;
  readonly #owner: LineOwner;
  readonly #calledOff = new AbortController();
  #conversation: Conversation<FollowerState, FollowerEvent, FollowerAction> | null = null;
  /** Bytes of links that are gone. */
  #past = { sentBytes: 0, receivedBytes: 0 };
  #failures = 0;
  /** What was told of this outage. */
  readonly #told = new Set<string>();
  /** Why the last link ended or the last attempt failed; null: something has come since. */
  outage: string | null = null;
  #isWelcome = false;
  #cancelRetry: (() => void) | null = null;
  isClosed = false;

  constructor(target: LineTarget, world: World, owner: LineOwner) {
    this.#target = target;
    this.#world = world;
    this.#owner = owner;
  }

  get isConnected(): boolean {
    return this.#conversation?.state.phase === "open";
  }

  /** Whether there is a link, however far it has come. */
  get isLinked(): boolean {
    return this.#conversation?.isLinked ?? false;
  }

  /** Bytes out and in on all links that there were. */
  get traffic(): { sentBytes: number; receivedBytes: number } {
    const { sentBytes = 0, receivedBytes = 0 } = this.#conversation ?? {};
    return {
      sentBytes: this.#past.sentBytes + sentBytes,
      receivedBytes: this.#past.receivedBytes + receivedBytes,
    };
  }

  /** Bytes handed over that the server has not taken. */
  get queuedBytes(): number {
    return this.#conversation?.queuedBytes ?? 0;
  }

  connect(): void {
    const { address, crc32c, tls } = this.#target;
    const session = { step: stepFollower, deadline: followerDeadline, crc32c };
    const conversation = new Conversation<FollowerState, FollowerEvent, FollowerAction>(
      this.#owner.begin(),
      session,
      this.#world,
      this,
    );
    this.#conversation = conversation;
    this.#world.transport
      .connect(address, conversation, { signal: this.#calledOff.signal, ...(tls && { tls }) })
      .catch((error: MemblastError) => {
        this.#conversation = null;
        if (error.code === "CONNECT_FAILED") this.#lost(0, error);
        else this.#owner.onHopeless(error); // wrong certificates stay wrong
      });
  }

  /** Nothing where there is no link. */
  step(event: FollowerEvent): void {
    this.#conversation?.step(event);
  }

  /** The server has told what it has, and so has the owner. */
  welcomed(): void {
    this.#isWelcome = true;
  }

  /** It has brought something. Not before: a line that never does is to be tried less and less often. */
  succeeded(): void {
    this.#failures = 0;
    this.#told.clear();
    this.outage = null;
  }

  opened(): FollowerEvent {
    return { kind: "opened", nonce: hexOf(this.#world.randomBytes(32)), now: this.#world.now() };
  }

  perform(action: Exclude<FollowerAction, LinkAction>): void {
    this.#owner.perform(action);
  }

  drained(): void {}

  closed(cause: CloseCause): void {
    const { cutBy, failure, isUnsayable } = this.#conversation!;
    this.#past = this.traffic;
    this.#conversation = null;
    const isWelcome = this.#isWelcome;
    this.#isWelcome = false;
    this.#owner.onEnd();
    const isHopeless = failure !== null && isUnsayable; // the next link would end over the same
    if (failure && isWelcome && !isHopeless) this.#tell(failure);
    if (isWelcome) this.#disconnected(causeText(cause, cutBy));
    if (isHopeless) return this.#owner.onHopeless(failure);
    const ending = endingOf(cause, this.#target.key, isWelcome, cutBy);
    if (ending.kind === "giveUp") this.#owner.onHopeless(ending.error);
    else this.#lost(ending.afterMs, isWelcome ? ending.error : (failure ?? ending.error));
  }

  #disconnected(reason: string): void {
    this.outage = reason;
    for (const absence of absences) this.#told.add(keyOf("CONNECT_FAILED", absence));
    this.#owner.onDisconnect(reason);
  }

  /** Once in an outage for each reason that there is, not at each attempt. */
  #tell(error: MemblastError): void {
    this.outage = error.message;
    const key = keyOf(error.code, error.details.reason);
    if (this.#told.has(key)) return;
    this.#told.add(key);
    this.#owner.onError(error);
  }

  /** Tries again later. */
  #lost(afterMs: number, error: MemblastError | null): void {
    if (this.isClosed) return;
    if (error) this.#tell(error);
    if (this.isClosed) return; // by who heard it
    // The jitter comes on top: a server that asks for a pause does not want all of them back at one moment.
    const wait = afterMs + backoffMs(this.#target.backoff, this.#failures++, this.#world.random);
    this.#cancelRetry = this.#world.after(wait, () => this.connect());
  }

  /** Ends this link in good order; the next one comes after a while. */
  hangUp(reason: string): void {
    this.#conversation?.close(reason);
  }

  /** Breaks what link there still is. */
  abort(): void {
    this.#conversation?.abort();
  }

  /** Ends it for good. Twice is nothing. */
  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.#cancelRetry?.();
    this.#calledOff.abort();
    this.#conversation?.close("closing");
  }
}
