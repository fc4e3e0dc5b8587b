import type { World } from "../../src/node/runtime/world.ts";
import type { Transport } from "../../src/transport/link.ts";
import type { Clock } from "./clock.ts";
import type { Random } from "./random.ts";

/** A world in which nothing happens by itself: time is the clock's, and chance the seed's. */
export function virtualWorld(clock: Clock, random: Random, transport: Transport): World {
  return {
    now: () => clock.now,
    wallMs: () => clock.now,
    random: () => random.next(),
    randomBytes: (count) => random.bytes(count),
    after: (ms, action) => clock.schedule(ms, action),
    soon: (action) => void clock.schedule(0, action),
    transport,
  };
}
