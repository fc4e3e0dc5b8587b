import { fail } from "../../errors.ts";

type Handlers<Events> = { [Name in keyof Events]?: Set<(event: Events[Name]) => void> };

/** Named events with typed payloads. A handler that throws stops no other; its error is thrown in a job of its own. */
export class Emitter<Events> {
  readonly #names: Readonly<Record<keyof Events, true>>;
  readonly #handlers: Handlers<Events> = {};

  constructor(names: Readonly<Record<keyof Events, true>>) {
    this.#names = names;
  }

  /** Returns a function that takes the handler away again. @throws INVALID_OPTION */
  on<Name extends keyof Events>(name: Name, handler: (event: Events[Name]) => void): () => void {
    if (!Object.hasOwn(this.#names, name)) refuseEvent(String(name), Object.keys(this.#names));
    checkHandler(`on("${String(name)}")`, handler);
    const handlers = (this.#handlers[name] ??= new Set());
    handlers.add(handler);
    return () => void handlers.delete(handler);
  }

  /** Whether anybody listened. */
  emit<Name extends keyof Events>(name: Name, event: Events[Name]): boolean {
    const handlers = this.#handlers[name];
    for (const handler of handlers ?? [])
      try {
        handler(event);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    return (handlers?.size ?? 0) > 0;
  }

  listeners(name: keyof Events): number {
    return this.#handlers[name]?.size ?? 0;
  }
}

function refuseEvent(event: string, events: readonly string[]): never {
  const hint = event === "update" ? "for updates there is onUpdate(handler)" : `only ${events.join(", ")}`;
  fail("INVALID_OPTION", `on(): there is no event "${event}": ${hint}`, { event, events });
}

/** @throws INVALID_OPTION */
export function checkHandler(call: string, handler: unknown): void {
  if (typeof handler !== "function")
    fail(
      "INVALID_OPTION",
      `${call}: a handler is a function, not ${handler === null ? "null" : typeof handler}`,
    );
}
