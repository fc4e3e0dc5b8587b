type Handlers<Events> = { [Name in keyof Events]?: Set<(event: Events[Name]) => void> };

/** Named events with typed payloads. A handler that throws stops no other; its error is thrown in a job of its own. */
export class Emitter<Events> {
  readonly #handlers: Handlers<Events> = {};

  /** Returns a function that takes the handler away again. */
  on<Name extends keyof Events>(name: Name, handler: (event: Events[Name]) => void): () => void {
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
