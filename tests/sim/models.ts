import fc from "fast-check";
import { checkConflation, conflationSchedule } from "./conflation_model.ts";
import { checkMesh, meshSchedule } from "./mesh_model.ts";
import { checkReconnection, reconnectionSchedule } from "./reconnection_model.ts";

/** What a session is told instead of an event: itself, another one, or nothing. A planted bug. */
export type Mangle = (event: { readonly kind: string }) => { readonly kind: string } | null;

/** A small model and what was built after it, side by side through random schedules. */
export interface Model {
  readonly name: string;
  /** Of all schedules that are asked for. */
  readonly share: number;
  /** Throws at the first schedule, made as short as it can be, after which the two differ. */
  run(schedules: number, seed: number, mangle?: () => Mangle): void;
  /** Bugs to plant, each of which `run` must find. Made anew for every schedule. */
  readonly canaries: Readonly<Record<string, () => Mangle>>;
}

function model<T>(
  name: string,
  share: number,
  schedule: fc.Arbitrary<T>,
  check: (schedule: T, mangle: Mangle) => void,
  canaries: Model["canaries"],
): Model {
  const sound: Mangle = (event) => event;
  const run: Model["run"] = (numRuns, seed, mangle) =>
    fc.assert(
      fc.property(schedule, (steps) => check(steps, mangle?.() ?? sound)),
      { numRuns, seed },
    );
  return { name, share, run, canaries };
}

/** Every third event of a kind is lost. */
function losing(kind: string): () => Mangle {
  return () => {
    let count = 0;
    return (event) => (event.kind === kind && ++count % 3 === 0 ? null : event);
  };
}

/** Every event of a kind has something else in it; null: it never comes. */
function altering(kind: string, alter: (event: Record<string, unknown>) => object | null): () => Mangle {
  return () => (event) => {
    if (event.kind !== kind) return event;
    const change = alter(event as unknown as Record<string, unknown>);
    return change && { ...event, ...change };
  };
}

export const models: readonly Model[] = [
  model("conflation", 0.4, conflationSchedule, checkConflation, {
    "a commit is forgotten": losing("committed"),
    "a full link is written to": losing("unwritable"),
    "a delta takes too much with it": altering("nothingToSend", ({ version }) => ({
      version: Number(version) + 1,
    })),
    "a delta brings less than it says": altering("deltaSent", ({ to }) => ({
      to: Math.max(0, Number(to) - 1),
    })),
    "time stands still": altering("heard", () => ({ kind: "tick", now: 0 })),
  }),
  model("reconnection", 0.3, reconnectionSchedule, checkReconnection, {
    "a commit is forgotten": losing("committed"),
    "a refusal to resume is not heard": altering("subscriptionAccepted", () => ({ resume: true })),
    "a follower says that it has more": altering("subscribe", ({ request }) => {
      const asked = request as { have: { incarnation: string; version: number } | null };
      return {
        request: { ...asked, have: asked.have && { ...asked.have, version: asked.have.version + 1 } },
      };
    }),
  }),
  model("mesh", 0.3, meshSchedule, checkMesh, {
    "a delta is lost, and nobody minds": losing("message"),
    "a write does not take notice of what it overwrites": altering("overwrite", () => null),
  }),
];
