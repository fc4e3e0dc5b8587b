import type { Random } from "../transport/random.ts";

/** What is done to the bytes of one direction of one link. Nothing: they pass as they come. */
export interface Mischief {
  /** They go on in pieces of 1 to so many bytes, each in a turn of its own. */
  readonly sliceBytesMax?: number;
  /** They are held back until there are so many of them, or for so long (ms). */
  readonly hold?: { readonly bytes: number; readonly ms: number };
  /** Each piece comes so much later, ms; none overtakes another. */
  readonly delayMs?: readonly [min: number, max: number];
  /** No more than so much goes on. */
  readonly bytesPerSecond?: number;
  /** Of a thousand pieces, so many wait ten times as long. */
  readonly burstsPerMille?: number;
  /** Nothing goes on for so long (ms) once so many bytes have; what comes meanwhile is not even read. */
  readonly stall?: { readonly afterBytes: number; readonly ms: number };
  /** After so many bytes the link is gone, in both directions. */
  readonly cutAfter?: number;
  /** One bit of the byte at this place is turned over, or, with `whole`, all of them. */
  readonly flip?: { readonly at: number; readonly bit: number; readonly whole: boolean };
  /** Of a thousand deltas, so many get another last byte and the checksums to it: what no checksum finds, and an oracle must. */
  readonly forgeriesPerMille?: number;
  /** Of a thousand frames, so many go out twice, or change places with the next one. */
  readonly duplicatesPerMille?: number;
  readonly swapsPerMille?: number;
}

/** What is done to one link. */
export interface Plan {
  readonly toFollower: Mischief;
  readonly toPublisher: Mischief;
}

export const honest: Plan = Object.freeze({ toFollower: Object.freeze({}), toPublisher: Object.freeze({}) });

export const kinds = ["slice", "hold", "delay", "stall", "cut", "flip", "frames"] as const;
export type Kind = (typeof kinds)[number];

/** One link's mischief, of one kind and in one direction or both: the same dice, the same plan. */
export function drawPlan(random: Random, kind: Kind): Plan {
  const drawn = drawMischief(random, kind);
  if (kind === "cut" || kind === "flip" || kind === "stall")
    return random.between(0, 3) > 0 ? { ...honest, toFollower: drawn } : { ...honest, toPublisher: drawn };
  return { toFollower: drawn, toPublisher: drawMischief(random, kind) };
}

function drawMischief(random: Random, kind: Kind): Mischief {
  switch (kind) {
    case "slice":
      return { sliceBytesMax: [1, 7, 100, 1500][random.between(0, 3)]! };
    case "hold":
      return { hold: { bytes: random.between(2, 5000), ms: random.between(1, 20) } };
    case "delay":
      return { delayMs: [1, random.between(2, 40)], burstsPerMille: random.between(0, 50) };
    case "stall":
      return { stall: { afterBytes: random.between(0, 5000), ms: random.between(20, 200) } };
    case "cut":
      return { cutAfter: random.between(0, 5000) };
    case "flip":
      return { flip: drawFlip(random, 10_000) };
    case "frames":
      return { duplicatesPerMille: random.between(0, 100), swapsPerMille: random.between(0, 100) };
  }
}

/** A place of which the mean is `bytesMean`: one flip in so many bytes, and then the link is judged. */
export function drawFlip(random: Random, bytesMean: number): NonNullable<Mischief["flip"]> {
  return {
    at: random.between(0, 2 * bytesMean),
    bit: random.between(0, 7),
    whole: random.between(0, 3) === 0,
  };
}
