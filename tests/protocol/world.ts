import type { Delta } from "../../src/protocol/assembly.ts";
import type { DeltaChunk } from "../../src/protocol/part.ts";
import { crc32c } from "../../src/protocol/crc32c.ts";
import { encodeMessage } from "../../src/protocol/encode.ts";
import { ProtocolFault } from "../../src/protocol/fault.ts";
import { followerDeadline, newFollower, stepFollower } from "../../src/protocol/follower.ts";
import type { FollowerAction, FollowerEvent, FollowerState } from "../../src/protocol/follower_state.ts";
import { Framer } from "../../src/protocol/framer.ts";
import { defaultLimits } from "../../src/protocol/limits.ts";
import type { Frame } from "../../src/protocol/messages.ts";
import { newPublisher, publisherDeadline, stepPublisher } from "../../src/protocol/publisher.ts";
import type { PublisherAction, PublisherEvent, PublisherState } from "../../src/protocol/publisher_state.ts";
import { joined } from "./bytes.ts";
import { applyTo, type Copy } from "./copy.ts";
import { framesOf, imageBytes, leafHashesOf, leavesThatDiffer, type Range, Source } from "./source.ts";

/** Frames under way in one direction; each entry is one frame. Closed: nothing will follow. */
class Pipe {
  frames: Uint8Array[] = [];
  closed = false;
}

/** A node that publishes and one that follows, with the real sessions and real bytes between them. Time is a number. */
export class World {
  now = 0;
  readonly source = new Source();
  readonly copies: readonly Copy[];
  readonly faults: string[] = [];
  readonly reports: string[] = [];
  publisher: PublisherState;
  follower: FollowerState;
  toFollower = new Pipe();
  toPublisher = new Pipe();
  /** Deltas that are being sent: the frames that are left, and the version they lead to. */
  deliveries = new Map<number, { to: number; frames: Uint8Array[] }>();
  /** Applies that the follower's owner has put off. */
  waiting: { key: number; delta: Delta }[] = [];
  /** Of deltas whose last part has not come, by subscription. */
  readonly #parts = new Map<number, DeltaChunk[]>();
  /** The publisher forgets a run now and then: what the judge must find. */
  canary = false;
  resume = true;
  #ranges = new Map<number, { range: Range; verify: boolean }>();
  #framers = { publisher: new Framer(crc32c), follower: new Framer(crc32c) };
  #links = 0;
  #deliveries = 0;

  constructor(ranges: readonly { range: Range; verify: boolean }[]) {
    this.copies = ranges.map(({ range, verify }, index) => {
      const bytes = new Uint8Array(range.bytes).fill(99);
      return { key: 10 + index, range, verify, bytes, have: null, damaged: false };
    });
    this.publisher = this.#newPublisher();
    this.follower = newFollower({ node: "f", nodeId: "f0".repeat(16), keyId: null, limits: defaultLimits });
  }

  get linked(): boolean {
    return this.#links > 0 && (this.publisher.phase !== "closed" || this.follower.phase !== "closed");
  }

  connect(): void {
    if (this.linked) return;
    this.#links++;
    this.toFollower = new Pipe();
    this.toPublisher = new Pipe();
    this.deliveries.clear();
    this.waiting = [];
    this.#ranges.clear();
    this.#framers = { publisher: new Framer(crc32c), follower: new Framer(crc32c) };
    this.publisher = this.#newPublisher();
    this.follower = newFollower({ node: "f", nodeId: "f0".repeat(16), keyId: null, limits: defaultLimits });
    const nonce = this.#links.toString(16).padStart(64, "0");
    this.tellPublisher({ kind: "opened", nonce, version: this.source.version, now: this.now });
    this.tellFollower({ kind: "opened", nonce, now: this.now });
  }

  cut(): void {
    this.tellPublisher({ kind: "linkClosed", now: this.now });
    this.tellFollower({ kind: "linkClosed", now: this.now });
    this.toFollower.frames = this.toPublisher.frames = [];
  }

  commit(start: number, bytes: number, value: number, all: boolean): void {
    const changed = this.source.commit(start, bytes, value);
    const { version } = this.source;
    const concerned = [...this.#ranges].filter(([, { range }]) => overlap(range, changed)).map(([id]) => id);
    const subscriptions = all ? {} : { subscriptions: concerned };
    this.tellPublisher({ kind: "committed", version, ...subscriptions, now: this.now });
  }

  /** Moves up to `bytes` of what is under way to one side, cut anywhere. */
  carry(side: "publisher" | "follower", bytes: number): boolean {
    const pipe = side === "follower" ? this.toFollower : this.toPublisher;
    const stream = joined(pipe.frames);
    const piece = stream.slice(0, bytes);
    pipe.frames = bytes < stream.length ? [stream.slice(bytes)] : [];
    if (piece.length > 0) this.#receive(side, piece);
    if (pipe.frames.length === 0 && pipe.closed) this.#tell(side, { kind: "linkClosed", now: this.now });
    return piece.length > 0;
  }

  /** Sends the next frame of one delivery, if the link takes it. */
  stream(choice: number): boolean {
    if (this.publisher.phase !== "open" || this.publisher.vitals.outlet.kind === "blocked") return false;
    const [id, delivery] = [...this.deliveries][choice % Math.max(1, this.deliveries.size)] ?? [];
    if (id === undefined || delivery === undefined) return false;
    this.toFollower.frames.push(delivery.frames.shift()!);
    if (delivery.frames.length > 0) return true;
    this.deliveries.delete(id);
    this.tellPublisher({ kind: "deltaSent", subscription: id, to: delivery.to, now: this.now });
    return true;
  }

  /** Lets the follower's owner make the commit it has put off longest. */
  applyOne(): boolean {
    const next = this.waiting.shift();
    if (next === undefined) return false;
    this.#apply(next.key, next.delta);
    return true;
  }

  /** Time goes by; deadlines on the way are kept. */
  wait(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      const due = Math.min(
        publisherDeadline(this.publisher) ?? Infinity,
        followerDeadline(this.follower) ?? Infinity,
      );
      if (due > end) break;
      this.now = Math.max(this.now, due);
      this.tellPublisher({ kind: "tick", now: this.now });
      this.tellFollower({ kind: "tick", now: this.now });
    }
    this.now = end;
  }

  tellPublisher(event: PublisherEvent): void {
    const [next, actions] = stepPublisher(this.publisher, event);
    this.publisher = next;
    for (const action of actions) this.#publisherDoes(action);
  }

  tellFollower(event: FollowerEvent): void {
    const [next, actions] = stepFollower(this.follower, event);
    this.follower = next;
    for (const action of actions) this.#followerDoes(action);
  }

  subscribe(copy: Copy): void {
    const { key, range, verify, have } = copy;
    const regions = [{ array: verify ? "verified" : null, start: [range.start], shape: [range.bytes] }];
    const end = range.start + range.bytes;
    const inside = (offset: number, bytes: number) => offset >= range.start && offset + bytes <= end;
    const request = {
      key,
      regions,
      mode: "latest" as const,
      verify,
      maxRate: null,
      have,
      bytes: range.bytes,
      stretches: 1,
      inside,
    };
    this.tellFollower({ kind: "subscribe", request, now: this.now });
  }

  #newPublisher(): PublisherState {
    const { incarnation } = this.source;
    const about = { node: "p", nodeId: "90".repeat(16), incarnation, schema: "{}" };
    return newPublisher({ ...about, auth: { kind: "none" }, limits: defaultLimits });
  }

  #tell(
    side: "publisher" | "follower",
    event:
      | { kind: "linkClosed"; now: number }
      | { kind: "frame"; frame: Frame; now: number }
      | { kind: "fault"; fault: ProtocolFault; now: number },
  ): void {
    if (side === "publisher") this.tellPublisher(event);
    else this.tellFollower(event);
  }

  #receive(side: "publisher" | "follower", bytes: Uint8Array): void {
    const framer = this.#framers[side];
    framer.push(bytes);
    for (;;) {
      const next = framer.next();
      if (next === null) return;
      const { now } = this;
      if (next instanceof ProtocolFault) return this.#tell(side, { kind: "fault", fault: next, now });
      this.#tell(side, { kind: "frame", frame: next, now });
    }
  }

  #publisherDoes(action: PublisherAction): void {
    const { now } = this;
    switch (action.kind) {
      case "send":
        this.toFollower.frames.push(joined(encodeMessage(crc32c, action.message)));
        return;
      case "frameLimit":
        this.#framers.publisher.limitPayload(action.payloadBytesMax);
        return;
      case "acceptSubscription": {
        const [region] = action.request.regions;
        const range = { start: region!.start[0]!, bytes: region!.shape[0]! };
        this.#ranges.set(action.subscription, { range, verify: action.request.verify });
        const { subscription } = action;
        const { resume } = this;
        this.tellPublisher({ kind: "subscriptionAccepted", subscription, bytes: range.bytes, resume, now });
        return;
      }
      case "deliver":
        return this.#deliver(action.subscription, action.from, action.full ? null : action.from);
      case "repair": {
        const { range } = this.#ranges.get(action.subscription)!;
        const current = this.source.image.subarray(range.start, range.start + range.bytes);
        const leaves = leavesThatDiffer(leafHashesOf(current), action.leafHashes);
        return this.#deliver(action.subscription, action.from, action.version, leaves);
      }
      case "unsubscribed":
        this.#ranges.delete(action.subscription);
        this.deliveries.delete(action.subscription);
        return;
      case "report":
        this.reports.push(action.report.kind);
        return;
      case "close":
        if (action.cause.kind === "fault") this.faults.push(`${action.cause.by} ${action.cause.fault.code}`);
        this.toFollower.closed = true;
        this.toPublisher.frames = [];
    }
  }

  #deliver(subscription: number, from: number, since: number | null, leaves?: ReadonlySet<number>): void {
    const { range, verify } = this.#ranges.get(subscription)!;
    const { version: to } = this.source;
    let runs = this.source.changed(range, since, leaves);
    const plain = since !== null && leaves === undefined;
    this.#deliveries++;
    if (plain && runs.length === 0 && this.#deliveries % 2 === 0) {
      this.tellPublisher({ kind: "nothingToSend", subscription, version: to, now: this.now });
      return;
    }
    if (plain && this.canary) runs = runs.subarray(2);
    const about = { from, full: since === null, repair: leaves !== undefined };
    this.deliveries.set(subscription, {
      to,
      frames: framesOf(this.source, subscription, range, verify, about, runs),
    });
  }

  #followerDoes(action: FollowerAction): void {
    switch (action.kind) {
      case "send":
        this.toPublisher.frames.push(joined(encodeMessage(crc32c, action.message)));
        return;
      case "frameLimit":
        this.#framers.follower.limitPayload(action.payloadBytesMax);
        return;
      case "welcome":
        for (const copy of this.copies) this.subscribe(copy);
        return;
      case "part":
        if (action.head) this.#parts.set(action.key, []);
        this.#parts.get(action.key)!.push(...action.chunks);
        return;
      case "apply": {
        const { partsBefore, chunks } = action.delta;
        const before = partsBefore > 0 ? this.#parts.get(action.key)! : [];
        this.waiting.push({ ...action, delta: { ...action.delta, chunks: [...before, ...chunks] } });
        return;
      }
      case "report":
        this.reports.push(
          action.report.kind === "mismatch" ? `mismatch ${action.report.asked}` : action.report.kind,
        );
        return;
      case "close":
        if (action.cause.kind === "fault") this.faults.push(`${action.cause.by} ${action.cause.fault.code}`);
        this.toPublisher.closed = true;
        this.toFollower.frames = [];
        this.waiting = [];
    }
  }

  #apply(key: number, delta: Delta): void {
    const copy = this.copies.find((candidate) => candidate.key === key)!;
    const outcome = applyTo(copy, delta);
    const { incarnation, version } = copy.have!;
    const expected = this.source.at(incarnation, version, copy.range)!;
    if (outcome.kind === "ok" && !copy.damaged && Buffer.compare(expected, copy.bytes) !== 0) {
      throw new Error(`not version ${version}`);
    }
    this.tellFollower({ kind: "applied", delta, version, outcome, now: this.now });
  }

  /** Some time in which all goes well. */
  run(rounds: number): void {
    for (let round = 0; round < rounds; round++) {
      this.carry("publisher", imageBytes);
      this.stream(round);
      this.carry("follower", imageBytes);
      this.applyOne();
      this.wait(1);
    }
  }

  /** No more faults: everything that is under way arrives. */
  settle(): void {
    for (let round = 0; round < 2000; round++) {
      this.connect();
      this.tellPublisher({ kind: "writable", now: this.now });
      this.tellFollower({ kind: "writable", now: this.now });
      const moved = [
        this.carry("publisher", imageBytes),
        this.stream(round),
        this.carry("follower", imageBytes),
        this.applyOne(),
      ];
      this.wait(1);
      if (moved.includes(true) || !this.linked || this.deliveries.size > 0) continue;
      if (this.#idle()) return;
    }
    throw new Error("the world does not come to rest");
  }

  /** Nothing is under way, and both sides know it. */
  #idle(): boolean {
    const { publisher, follower } = this;
    if (publisher.phase !== "open" || follower.phase !== "open") return false;
    if (this.toPublisher.frames.length + this.toFollower.frames.length > 0) return false;
    return this.copies.every(({ key, have }) => {
      const following = [...follower.followings.values()].find(({ request }) => request.key === key);
      if (following?.stage !== "live" || following.mending !== "none") return false;
      const subscription = publisher.subscriptions.get(following.id);
      if (subscription?.stage !== "live" || subscription.flight !== "none") return false;
      const { sent, newest } = subscription;
      return (
        sent !== null && newest <= sent && have?.version === sent && have.incarnation === follower.incarnation
      );
    });
  }
}

function overlap(a: Range, b: Range): boolean {
  return a.start < b.start + b.bytes && b.start < a.start + a.bytes;
}
