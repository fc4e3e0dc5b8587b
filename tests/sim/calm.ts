import type { Plan } from "./member.ts";
import type { Odds } from "./weather.ts";

/** A network that is slow, but sound. */
export const slowOdds: Odds = {
  cut: 0,
  flip: 0,
  spoil: 0,
  stall: 0,
  partition: 0,
  reboot: 0,
  restart: 0,
  clock: 0,
  delayMs: 0,
  jitterMs: 100,
  sliceBytesMax: 1e6,
  slice: 0,
  capacityBytes: 1 << 20,
  fill: 0,
  cells: 96,
  queueBytes: 1 << 20,
  areAlike: false,
  rated: 0,
  lostDial: 0,
};

export const source: Plan = {
  parents: [],
  writes: { first: 0, count: slowOdds.cells },
  writesTable: true,
  writesMeta: true,
  checkHash: false,
  secret: null,
  keeps: false,
  mesh: false,
  listens: true,
};

/** Follows the first member. */
export const follower: Plan = {
  ...source,
  writes: null,
  parents: [{ index: 0, boxes: null, mode: "latest", maxRate: null }],
};
