import type { Link, LinkHandler } from "../../src/transport/link.ts";

/** A handler that keeps what a link reports, and refuses to see anything after the end or from inside a verb. */
export class Recorder implements LinkHandler {
  readonly events: string[] = [];
  readonly chunks: Uint8Array[] = [];
  readonly faults: string[] = [];
  receivedBytes = 0;
  drains = 0;
  closes = 0;
  cause: Error | undefined;
  link: Link | undefined;
  readonly opened = Promise.withResolvers<Link>();
  readonly closed = Promise.withResolvers<Error | undefined>();
  readonly #hooks: Partial<LinkHandler>;
  readonly #waiting = new Set<() => void>();
  #insideVerb = false;

  constructor(hooks: Partial<LinkHandler> = {}) {
    this.#hooks = hooks;
  }

  onOpen(link: Link): void {
    this.#note("open");
    this.link = link;
    this.opened.resolve(link);
    this.#hooks.onOpen?.(link);
  }

  onBytes(link: Link, bytes: Uint8Array): void {
    this.#note("bytes");
    this.receivedBytes += bytes.byteLength;
    if (this.#hooks.onBytes) this.#hooks.onBytes(link, bytes);
    else this.chunks.push(bytes);
    this.#look();
  }

  onDrain(link: Link): void {
    this.#note("drain");
    this.drains++;
    this.#hooks.onDrain?.(link);
    this.#look();
  }

  onClose(link: Link, cause?: Error): void {
    this.#note("close");
    this.closes++;
    this.cause = cause;
    if (link.state !== "closed") this.faults.push(`closed in state ${link.state}`);
    if (link.queuedBytes !== 0) this.faults.push(`closed with ${link.queuedBytes} bytes queued`);
    this.#hooks.onClose?.(link, cause);
    this.closed.resolve(cause);
    this.#look();
  }

  /** Resolves as soon as the condition holds, looking after every event. */
  async until(condition: () => boolean): Promise<void> {
    if (condition()) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const look = () => {
      if (!condition()) return;
      this.#waiting.delete(look);
      resolve();
    };
    this.#waiting.add(look);
    await promise;
  }

  /** Runs a verb; an event that comes before it returns is a fault. */
  verb<Result>(run: () => Result): Result {
    this.#insideVerb = true;
    try {
      return run();
    } finally {
      this.#insideVerb = false;
    }
  }

  received(): Uint8Array {
    return new Uint8Array(Buffer.concat(this.chunks));
  }

  #note(event: string): void {
    if (this.closes > 0) this.faults.push(`${event} after close`);
    if (this.events.length === 0 && event !== "open") this.faults.push(`${event} before open`);
    if (this.#insideVerb) this.faults.push(`${event} from inside a verb`);
    if (this.events.at(-1) !== event || event !== "bytes") this.events.push(event);
  }

  #look(): void {
    for (const look of this.#waiting) look();
  }
}
