import type { World } from "./world.ts";

/** Waits for what nobody tells of, looking every millisecond, up to a moment on the world's clock. */
export async function until(world: World, condition: () => boolean, deadline: number): Promise<void> {
  while (!condition() && world.now() < deadline)
    await new Promise<void>((resolve) => world.after(1, resolve));
}
