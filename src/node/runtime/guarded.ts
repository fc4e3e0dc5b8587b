import { MemblastError } from "../../errors.ts";
import { asError } from "../../transport/failure.ts";
import type { World } from "./world.ts";

/**
 * The same world, but what a timer throws is told, and the process goes on: nobody waits for a timer, and what came over a link may have
 * brought it about. SYSTEM where it is none of our own errors.
 */
export function guarded(world: World, tell: (error: MemblastError) => void): World {
  const guard = (action: () => void) => () => {
    try {
      action();
    } catch (error) {
      tell(error instanceof MemblastError ? error : unforeseen(asError(error)));
    }
  };
  return {
    ...world,
    after: (ms, action) => world.after(ms, guard(action)),
    soon: (action) => world.soon(guard(action)),
  };
}

function unforeseen(error: Error): MemblastError {
  const text = `A timer failed, which is a mistake in memblast: ${error.message}. Report it with its cause`;
  return new MemblastError("SYSTEM", text, {}, error);
}
