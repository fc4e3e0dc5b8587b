import { Mailbox } from "./runtime/mailbox.ts";
import type { Update } from "./runtime/update.ts";

/** Who wants to know of updates: handlers, called at each; and streams, which get as many as they take. */
export class Audience {
  readonly #handlers = new Set<(update: Update) => void>();
  readonly #streams = new Set<Mailbox<Update>>();
  #isOver = false;

  get isEmpty(): boolean {
    return this.#handlers.size + this.#streams.size === 0;
  }

  /** The result takes the handler away again. */
  add(handler: (update: Update) => void): () => void {
    this.#handlers.add(handler);
    return () => void this.#handlers.delete(handler);
  }

  stream(): AsyncIterableIterator<Update> {
    const mailbox: Mailbox<Update> = new Mailbox(
      (earlier, later) => earlier.merge(later),
      () => this.#streams.delete(mailbox),
    );
    if (this.#isOver) mailbox.end();
    else this.#streams.add(mailbox);
    return mailbox;
  }

  /** A handler that throws stops no other; its error is thrown in a job of its own. One that closes the node is the last. */
  tell(update: Update): void {
    for (const handler of this.#handlers) {
      if (this.#isOver) return;
      try {
        handler(update);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
    for (const mailbox of this.#streams) mailbox.put(update);
  }

  end(): void {
    this.#isOver = true;
    for (const mailbox of this.#streams) mailbox.end();
  }
}
