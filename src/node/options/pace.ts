import { z } from "zod";
import { fail } from "../../errors.ts";

const rate = z.number().positive().max(1e6).nullable();

/** How a server's commits come: a part of start()'s options, for all servers or for one. */
export const paceOptions = {
  /**
   * "latest": what is committed while a delta is on its way goes with the next one, so that a slow follower costs nothing and is
   * never behind by more than that and the deltas that it has not read, 32 at most. "every": the first state, and from then on each commit by itself, in order, which
   * only a server can give that is its memory's only writer. Default "latest".
   */
  mode: z.enum(["latest", "every"]).optional(),
  /**
   * What to do when, in the mode "every", this node has been too slow for the server to keep all that it missed: take "latest" (one
   * delta that brings it up to date, a `conflated` event, and then each commit again), or "disconnect" for good. Default "latest".
   */
  overflow: z.enum(["latest", "disconnect"]).optional(),
  /** Deltas a second at most, above 0 and up to 1,000,000; null, the default: as fast as it goes. */
  maxRate: rate.optional(),
};

export interface Pace {
  readonly mode: "latest" | "every";
  readonly overflow: "latest" | "disconnect";
  readonly maxRate: number | null;
}

type PaceOptions = z.output<z.ZodObject<typeof paceOptions>>;

/** What is said for one server goes before what is said for all. */
export function paceOf(own: PaceOptions, forAll: PaceOptions): Pace {
  const { mode = forAll.mode ?? "latest", overflow = forAll.overflow ?? "latest" } = own;
  const { maxRate = forAll.maxRate ?? null } = own;
  return { mode, overflow, maxRate };
}

/** INVALID_OPTION if it is none. */
export function checkRate(perSecond: unknown): number | null {
  const parsed = rate.safeParse(perSecond);
  if (parsed.success) return parsed.data;
  return fail(
    "INVALID_OPTION",
    "A rate is a number of deltas a second above 0 and up to 1,000,000, or null",
    {
      perSecond,
    },
  );
}

/** INVALID_OPTION for a server that is none of those that are followed. */
export function refuseRateOf(server: string, followed: readonly string[]): never {
  const list = followed.length > 0 ? `only ${followed.join(", ")}` : "nor any other server";
  fail("INVALID_OPTION", `setRate(): this node does not follow ${server}, ${list}`, { server, followed });
}
