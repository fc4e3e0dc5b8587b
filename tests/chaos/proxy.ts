import type { Socket } from "bun";
import { Random } from "../transport/random.ts";
import { Course, type Parcel } from "./course.ts";
import { FrameCutter } from "./frame_cutter.ts";
import type { Mischief, Plan } from "./plan.ts";

/** What became of one link, for whoever judges. */
export interface LinkRecord {
  readonly toFollower: Passage;
  readonly toPublisher: Passage;
  readonly isOver: boolean;
}

/** What became of one direction. */
export interface Passage {
  readonly sentBytes: number;
  readonly isCut: boolean;
  readonly isFlipped: boolean;
  /** The frame with the flipped byte has gone out whole, so that it must have been noticed. */
  readonly isFlipWhole: boolean;
  /** The type of that frame; null before it is known. */
  readonly flippedType: number | null;
  readonly duplicates: number;
  readonly swaps: number;
}

/** A pipe with more than this under way does not read on. */
const windowBytes = 64 * 1024;

/**
 * A TCP relay that does to each link what its plan says. It holds back whom it cannot serve: a stalled direction fills the sender's
 * own buffers, as a real network does.
 */
export class ChaosProxy implements Disposable {
  /** All links since {@link ChaosProxy.forget}. */
  links: LinkRecord[] = [];
  /** Where new links lead; null: nowhere, they are cut. */
  target: string | null;
  /** For whoever wants to listen. */
  onBytes: ((toPublisher: boolean, bytes: Uint8Array) => void) | null = null;
  #made = 0;
  readonly #listener;
  readonly #pairs = new Set<Pair>();

  /** `planOf` is asked for each link; the first is number 0. */
  constructor(target: string | null, planOf: (link: number) => Plan, seed: number) {
    this.target = target;
    this.#listener = Bun.listen<Pipe | undefined>({
      hostname: "127.0.0.1",
      port: 0,
      allowHalfOpen: true,
      socket: {
        ...events,
        open: (near) => {
          const link = this.#made++;
          const pair = new Pair(near, planOf(this.links.length), Math.imul(seed + link, 0x9e3779b1));
          this.links.push(pair);
          this.#pairs.add(pair);
          pair.onBytes = (toPublisher, bytes) => this.onBytes?.(toPublisher, bytes);
          pair.onEnd = () => this.#pairs.delete(pair);
          if (this.target === null) return pair.cut();
          const { hostname, port } = endpointOf(this.target);
          void pair.connect(hostname, port);
        },
      },
    });
  }

  get address(): string {
    return `127.0.0.1:${this.#listener.port}`;
  }

  /** The next link is number 0 again, with dice of its own. */
  forget(): void {
    this.links = [];
  }

  /** What waits for its time goes on now. */
  hurry(): void {
    for (const pair of this.#pairs) for (const pipe of [pair.toFollower, pair.toPublisher]) pipe.hurry();
  }

  /** Every link that there is now, at once. */
  cutAll(): void {
    for (const pair of [...this.#pairs]) pair.cut();
  }

  [Symbol.dispose](): void {
    this.cutAll();
    this.#listener.stop(true);
  }
}

/** Of an address that a node prints, of whatever kind. */
function endpointOf(address: string): { hostname: string; port: number } {
  const { hostname, port } = new URL(address.replace(/^(tls:|wss?:\/\/)?/, "tcp://"));
  return { hostname, port: Number(port) };
}

/** A socket's data is the pipe that it feeds; what it drains is the other one of the pair. */
const events = {
  data: (socket: Socket<Pipe | undefined>, bytes: Uint8Array) => socket.data?.received(bytes),
  end: (socket: Socket<Pipe | undefined>) => socket.data?.ended(),
  drain: (socket: Socket<Pipe | undefined>) => socket.data?.back.drained(),
  close: (socket: Socket<Pipe | undefined>) => socket.data?.pair.closed(),
  error: (socket: Socket<Pipe | undefined>) => socket.data?.pair.cut(),
  connectError() {},
};

class Pair implements LinkRecord {
  readonly #near: Socket<Pipe | undefined>;
  #far: Socket<Pipe | undefined> | null = null;
  readonly toFollower: Pipe;
  readonly toPublisher: Pipe;
  onEnd = () => {};
  onBytes = (_toPublisher: boolean, _bytes: Uint8Array) => {};
  isOver = false;

  constructor(near: Socket<Pipe | undefined>, plan: Plan, seed: number) {
    this.#near = near;
    this.toPublisher = new Pipe(this, plan.toPublisher, new Random(seed));
    this.toFollower = new Pipe(this, plan.toFollower, new Random(~seed));
    this.toPublisher.back = this.toFollower;
    this.toFollower.back = this.toPublisher;
    near.data = this.toPublisher;
    near.setNoDelay(true);
    this.toPublisher.source = this.toFollower.sink = near;
  }

  async connect(hostname: string, port: number): Promise<void> {
    try {
      const far = await Bun.connect<Pipe | undefined>({
        hostname,
        port,
        allowHalfOpen: true,
        socket: { ...events, open() {} },
        data: this.toFollower,
      });
      if (this.isOver) return void far.terminate();
      this.#far = far;
      far.setNoDelay(true);
      this.toFollower.source = this.toPublisher.sink = far;
      for (const pipe of [this.toPublisher, this.toFollower]) pipe.start();
    } catch {
      this.cut();
    }
  }

  /** Either socket is gone. What it had said still goes to the other one, and then that goes too. */
  closed(): void {
    for (const pipe of [this.toPublisher, this.toFollower]) pipe.ended();
    if (this.toFollower.isEmpty && this.toPublisher.isEmpty) this.end();
  }

  /** In good order: what was written arrives. */
  end(): void {
    this.#over((socket) => socket.end());
  }

  /** At once, with a reset. */
  cut(): void {
    this.#over((socket) => socket.terminate());
  }

  #over(close: (socket: Socket<Pipe | undefined>) => void): void {
    if (this.isOver) return;
    this.isOver = true;
    this.toFollower.stop();
    this.toPublisher.stop();
    close(this.#near);
    if (this.#far) close(this.#far);
    this.onEnd();
  }
}

/** One direction of a pair: a course, and what it wants written. */
class Pipe implements Passage {
  readonly pair: Pair;
  back!: Pipe;
  source: Socket<Pipe | undefined> | null = null;
  sink: Socket<Pipe | undefined> | null = null;
  readonly #course: Course;
  readonly #slices: boolean;
  readonly #msPerByte: number;
  readonly #flipAt: number;
  readonly #cutter: FrameCutter | null;
  #flipFrameEnd = Infinity;
  flippedType: number | null = null;
  readonly #queue: { readonly bytes: Uint8Array; readonly due: number }[] = [];
  #queuedBytes = 0;
  #lastDue = 0;
  #started = false;
  #isFull = false;
  #isPaused = false;
  #isEnded = false;
  #isStopped = false;
  isDone = false;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #holdTimer: ReturnType<typeof setTimeout> | null = null;
  #writtenBytes = 0;

  constructor(pair: Pair, mischief: Mischief, random: Random) {
    this.pair = pair;
    this.#course = new Course(mischief, random);
    this.#msPerByte = mischief.bytesPerSecond ? 1000 / mischief.bytesPerSecond : 0;
    this.#slices = mischief.sliceBytesMax !== undefined;
    this.#flipAt = mischief.flip?.at ?? Infinity;
    this.#cutter = mischief.flip ? new FrameCutter() : null;
  }

  get sentBytes(): number {
    return this.#writtenBytes;
  }

  get isCut(): boolean {
    return this.#course.isCut;
  }

  get isFlipped(): boolean {
    return this.#course.isFlipped && this.#writtenBytes > this.#flipAt;
  }

  get isFlipWhole(): boolean {
    return this.isFlipped && this.#writtenBytes >= this.#flipFrameEnd;
  }

  get duplicates(): number {
    return this.#course.duplicates;
  }

  get swaps(): number {
    return this.#course.swaps;
  }

  get isEmpty(): boolean {
    return this.#queue.length === 0 && this.#course.heldBytes === 0;
  }

  start(): void {
    this.#started = true;
    this.#pump();
  }

  received(bytes: Uint8Array): void {
    if (this.#isStopped) return;
    this.pair.onBytes(this === this.pair.toPublisher, bytes.slice());
    this.#findFlip(bytes);
    this.#enqueue(this.#course.take(bytes.slice()));
    if (this.#course.heldBytes > 0)
      this.#holdTimer ??= setTimeout(() => {
        this.#holdTimer = null;
        this.#enqueue(this.#course.release());
      }, this.#course.holdMs);
  }

  /** Where the frame ends that holds the flipped byte. */
  #findFlip(bytes: Uint8Array): void {
    if (!this.#cutter || this.#flipFrameEnd < Infinity) return;
    for (let end = this.#cutter.offset, frames = this.#cutter.push(bytes), i = 0; i < frames.length; i++) {
      end += frames[i]!.length;
      if (end <= this.#flipAt) continue;
      this.#flipFrameEnd = end;
      this.flippedType = frames[i]![4]!;
      return;
    }
  }

  #enqueue(parcels: Parcel[]): void {
    const now = performance.now();
    for (const { bytes, afterMs } of parcels) {
      this.#lastDue = Math.max(this.#lastDue, now + afterMs) + bytes.length * this.#msPerByte; // nothing overtakes
      this.#queue.push({ bytes, due: this.#lastDue });
      this.#queuedBytes += bytes.length;
    }
    if (this.#queuedBytes > windowBytes && !this.#isPaused) {
      this.#isPaused = true;
      this.source?.pause();
    }
    this.#pump();
  }

  drained(): void {
    this.#isFull = false;
    this.#pump();
  }

  /** The source has no more. */
  ended(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    if (this.#course.heldBytes > 0) this.#enqueue(this.#course.release());
    this.#pump();
  }

  #pump(): void {
    while (this.#started && !this.#isStopped && !this.#isFull && this.#timer === null) {
      const parcel = this.#queue[0];
      if (!parcel) return this.#idle();
      const waitMs = parcel.due - performance.now();
      if (waitMs > 0.5) return this.#later(waitMs);
      if (!this.#write(parcel)) return;
      if (this.#slices && this.#queue.length > 0) this.#later(0);
    }
  }

  #later(ms: number): void {
    const go = () => {
      this.#timer = null;
      this.#pump();
    };
    this.#timer = ms > 0 ? setTimeout(go, ms) : (setImmediate(go) as never);
  }

  #write({ bytes }: { readonly bytes: Uint8Array }): boolean {
    const written = this.sink!.write(bytes);
    if (written < 0) {
      this.pair.cut();
      return false;
    }
    this.#writtenBytes += written;
    this.#queuedBytes -= written;
    if (written < bytes.length) {
      this.#queue[0] = { bytes: bytes.subarray(written), due: 0 };
      this.#isFull = true;
      return false;
    }
    this.#queue.shift();
    if (this.#isPaused && this.#queuedBytes < windowBytes / 2) {
      this.#isPaused = false;
      this.source?.resume();
    }
    return true;
  }

  /** All that came has gone out. */
  #idle(): void {
    // With a FIN behind them, so that the other end has seen exactly the bytes before the cut.
    if (this.#course.isCut) return this.pair.end();
    if (!this.#isEnded || this.isDone || this.#course.heldBytes > 0) return;
    this.isDone = true;
    this.sink!.shutdown();
    if (this.back.isDone) this.pair.end();
  }

  hurry(): void {
    this.#lastDue = 0;
    for (const [i, parcel] of this.#queue.entries()) this.#queue[i] = { ...parcel, due: 0 };
    this.#stopTimer();
    this.#pump();
  }

  #stopTimer(): void {
    if (this.#timer === null) return;
    clearTimeout(this.#timer);
    clearImmediate(this.#timer as never);
    this.#timer = null;
  }

  stop(): void {
    this.#isStopped = true;
    this.#stopTimer();
    if (this.#holdTimer !== null) clearTimeout(this.#holdTimer);
  }
}
