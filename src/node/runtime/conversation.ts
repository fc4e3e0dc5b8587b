import { MemblastError } from "../../errors.ts";
import type { Crc32c } from "../../protocol/crc32c.ts";
import { encodeMessage } from "../../protocol/encode.ts";
import { ProtocolFault } from "../../protocol/fault.ts";
import { Framer } from "../../protocol/framer.ts";
import type { Message } from "../../protocol/messages.ts";
import type { CloseCause, LinkAction, LinkEvent } from "../../protocol/session.ts";
import { asError } from "../../transport/failure.ts";
import type { Link, LinkHandler } from "../../transport/link.ts";
import { Alarm } from "./alarm.ts";
import type { World } from "./world.ts";

/** One of the two pure session machines, and the fastest checksum there is for its frames. */
export interface Session<State, Event, Action> {
  readonly crc32c: Crc32c;
  readonly step: (state: State, event: Event) => readonly [State, Action[]];
  readonly deadline: (state: State) => number | null;
}

/** What differs between the two ends of a link. */
export interface ConversationOwner<Event, Action> {
  /** The session's first event. */
  opened(): Event;
  perform(action: Exclude<Action, LinkAction>): void;
  /** The link takes bytes again. */
  drained(): void;
  /** Last of all. */
  closed(cause: CloseCause): void;
}

/** How long a link may take to end that never came through the handshake, or whose peer is silent; the last word may still arrive. */
const briefGoodbyeMs = 250;

type Performed<Action> = Exclude<Action, LinkAction>;

/** Joins a session to a link: cuts bytes into frames, steps the session, sends what it says, and rings it at its deadline. */
export class Conversation<
  State extends { readonly phase: string },
  Event,
  Action extends { readonly kind: string },
> implements LinkHandler {
  state: State;
  /** What ended the link, as far as is known. */
  cause: CloseCause = { kind: "cut" };
  isBlocked = false;
  /** Whether the handshake was completed, also after the end. */
  hasOpened = false;
  /** Whether it ended over something to be said that does not fit a frame. */
  isUnsayable = false;
  sentBytes = 0;
  receivedBytes = 0;
  readonly #session: Session<State, Event | LinkEvent, Action | LinkAction>;
  readonly #world: World;
  readonly #owner: ConversationOwner<Event, Action>;
  readonly #framer: Framer;
  readonly #alarm: Alarm;
  #link: Link | null = null;
  #isEnding = false;
  #cancelAbort: (() => void) | null = null;

  constructor(
    initial: State,
    session: Session<State, Event | LinkEvent, Action | LinkAction>,
    world: World,
    owner: ConversationOwner<Event, Action>,
  ) {
    this.state = initial;
    this.#session = session;
    this.#framer = new Framer(session.crc32c);
    this.#world = world;
    this.#owner = owner;
    this.#alarm = new Alarm(world, () => this.#tick());
  }

  get isLinked(): boolean {
    return this.#link !== null && this.#link.state !== "closed";
  }

  get remote(): string {
    return this.#link?.remote ?? "";
  }

  /** Bytes that the other end has not taken yet. */
  get queuedBytes(): number {
    return this.#link?.queuedBytes ?? 0;
  }

  onOpen(link: Link): void {
    this.#link = link;
    if (this.#isEnding) return link.abort(); // refused before it was there
    this.step(this.#owner.opened());
  }

  onBytes(_: Link, bytes: Uint8Array): void {
    const now = this.#world.now();
    this.receivedBytes += bytes.byteLength;
    this.#framer.push(bytes);
    let frames = 0;
    for (let frame = this.#framer.next(); frame !== null; frame = this.#framer.next(), frames++) {
      if (frame instanceof ProtocolFault) {
        this.step({ kind: "fault", fault: frame, now });
        return;
      }
      this.step({ kind: "frame", frame, now });
    }
    if (frames === 0) this.step({ kind: "heard", now });
  }

  onDrain(): void {
    this.isBlocked = false;
    // First what else there is to say: what a long delta has left fills the link up again each time.
    this.step({ kind: "writable", now: this.#world.now() });
    if (!this.isBlocked) this.#owner.drained();
  }

  onClose(_: Link, error?: Error): void {
    this.step({ kind: "linkClosed", now: this.#world.now() });
    this.#alarm.close();
    this.#cancelAbort?.();
    if (error && this.cause.kind === "cut") this.cutBy = error;
    this.#owner.closed(this.cause);
  }
  /** Why the link broke, where the system said so. */
  cutBy: Error | null = null;

  /** What fails here ends the link, like what fails in a handler of it. */
  #tick(): void {
    try {
      this.step({ kind: "tick", now: this.#world.now() });
    } catch (error) {
      this.#link?.abort(asError(error));
    }
  }

  step(event: Event | LinkEvent): void {
    const [state, actions] = this.#session.step(this.state, event);
    this.state = state;
    this.hasOpened ||= state.phase === "open";
    for (const action of actions) this.#perform(action);
    this.#alarm.set(this.#session.deadline(this.state));
  }

  #perform(action: Action | LinkAction): void {
    switch (action.kind) {
      case "send":
        return this.write(this.#encode((action as LinkAction & { kind: "send" }).message));
      case "frameLimit":
        return this.#framer.limitPayload((action as LinkAction & { kind: "frameLimit" }).payloadBytesMax);
      case "close":
        this.cause = (action as LinkAction & { kind: "close" }).cause;
        return this.#end();
      default:
        return this.#owner.perform(action as Performed<Action>);
    }
  }

  #encode(message: Message): Uint8Array[] {
    try {
      return encodeMessage(this.#session.crc32c, message);
    } catch (error) {
      this.isUnsayable = true;
      throw error;
    }
  }

  #end(): void {
    this.#isEnding = true;
    const link = this.#link;
    link?.close();
    const isSilent =
      this.cause.kind === "fault" && this.cause.by === "us" && this.cause.fault.code === "TIMEOUT";
    if (link && (isSilent || !this.hasOpened))
      this.#cancelAbort = this.#world.after(briefGoodbyeMs, () => link.abort());
  }

  write(views: readonly Uint8Array[]): void {
    if (!this.#link) return;
    for (const view of views) this.sentBytes += view.byteLength;
    if (this.#link.write(views) || this.isBlocked) return;
    this.isBlocked = true; // also where the link has ended: it takes nothing any more
    if (this.#link.state === "open") this.step({ kind: "unwritable", now: this.#world.now() });
  }

  /** A failure of our own that ended the link, which nobody was waiting for; null where the peer or the network ended it. */
  get failure(): MemblastError | null {
    const { cutBy } = this;
    if (cutBy === null || (cutBy instanceof MemblastError && cutBy.code === "LINK_CLOSED")) return null;
    if (cutBy instanceof MemblastError) return cutBy;
    return new MemblastError("SYSTEM", `The link with ${this.remote} failed: ${cutBy.message}`, {}, cutBy);
  }

  /** At once; what is queued is lost. */
  abort(): void {
    this.#link?.abort();
  }

  close(reason: string, retryAfterMs?: number): void {
    const now = this.#world.now();
    this.step({ kind: "closeRequested", reason, now, ...(retryAfterMs !== undefined && { retryAfterMs }) });
  }

  /** Ends the link with a word to the other end. */
  refuse(fault: ProtocolFault): void {
    this.step({ kind: "fault", fault, now: this.#world.now() });
  }
}

/** In words, for events and errors. */
export function causeText(cause: CloseCause, cutBy: Error | null = null): string {
  switch (cause.kind) {
    case "fault":
      return `${cause.by === "us" ? "closed by this side" : "closed by the peer"}: ${cause.fault.code}: ${cause.fault.message}`;
    case "bye":
      return cause.by === "us" ? `closed: ${cause.reason}` : `the peer said goodbye: ${cause.reason}`;
    case "cut":
      return cutBy?.message ?? "the link was cut";
  }
}
