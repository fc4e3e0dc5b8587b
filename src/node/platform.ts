import type { World } from "./world.ts";

/** Time and chance as Bun and browsers have them alike; the network differs. */
export const platform: Omit<World, "transport"> = Object.freeze({
  now: () => performance.now(),
  wallMs: () => Date.now(),
  random: Math.random,
  randomBytes: (count: number) => crypto.getRandomValues(new Uint8Array(count)),
  after(ms: number, action: () => void) {
    const timer = setTimeout(action, ms);
    return () => clearTimeout(timer);
  },
  soon: queueMicrotask,
});
