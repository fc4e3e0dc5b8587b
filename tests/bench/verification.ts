import { makeSchema } from "../../src/array/schema.ts";
import { Mapping } from "../../src/delta/mapping.ts";
import { fullRegion } from "../../src/delta/region.ts";
import { hasher } from "../../src/memory/digest.ts";
import { Feeds } from "../../src/node/publishing/feed.ts";
import { Mirror } from "../../src/node/following/mirror.ts";
import { Storage } from "../../src/node/storage/storage.ts";
import { type Bench, nanoseconds } from "./measure.ts";

const cells = 2 ** 25;
const cellBytes = 8;
const blockBytes = 64;
const leaf = new Uint8Array(4096);
const pair = new Uint8Array(64);
const levels = Math.log2((cells * cellBytes) / leaf.length);

function storage(): Storage {
  return Storage.createPrivate(makeSchema([{ name: null, dtype: "f64", shape: [cells] }], 4096));
}

/** Far from the cell before, so that nothing is warm by chance. */
function cellOf(i: number): number {
  return (i * 7919 * 4099) % cells;
}

/** The hashes that no verification can do without. */
function path(ms: number): number {
  return (
    1e9 /
    nanoseconds(ms, () => {
      hasher.leaves(leaf, leaf.length);
      for (let level = 0; level < levels; level++) hasher.nodes(pair);
    })
  );
}

/** Times one part of what `action` does: the part between the two calls of what it is given. */
function timed(ms: number, action: (i: number, time: (part: () => void) => void) => void): number {
  let spent = 0;
  let calls = 0;
  for (const end = Bun.nanoseconds() + ms * 1e6; calls === 0 || Bun.nanoseconds() < end; calls++)
    action(calls, (part) => {
      const begun = Bun.nanoseconds();
      part();
      spent += Bun.nanoseconds() - begun;
    });
  return (1e9 * calls) / spent;
}

const shared = {
  unit: "/s",
  aim: 1000,
  aimOf: "value",
  against: "the hashes alone: one leaf of 4 KiB, and the nodes above it",
} as const;

const publisher: Bench = {
  ...shared,
  name: "root-sent",
  async open(ms) {
    const memory = storage();
    const regions = memory.schema.arrays.map(fullRegion);
    const feeds = new Feeds(memory.published);
    const feed = feeds.take(feeds.runsOf(regions, null), { verify: true, mode: "latest" });
    let tick = 0;
    memory.write((a) => a.set(0, ++tick));
    feed.delta(0, true);
    return {
      value: () =>
        timed(ms, (i, time) => {
          const from = memory.version;
          memory.write((a) => a.set(cellOf(i), ++tick));
          time(() => feed.delta(from, false));
        }),
      limit: () => path(ms),
      close: () => memory.close(),
    };
  },
};

const follower: Bench = {
  ...shared,
  name: "root-checked",
  async open(ms) {
    const memory = storage();
    const [region] = memory.schema.arrays.map(fullRegion);
    const mapping = new Mapping(memory.schema, memory.schema, [{ source: region!, target: region! }]);
    const mirror = new Mirror(memory, mapping, hasher);
    mirror.leafHashes();
    const block = new Uint8Array(blockBytes);
    let tick = 0;
    return {
      value: () =>
        timed(ms, (i, time) => {
          const offset = cellOf(i) * cellBytes;
          const blockOffset = offset - (offset % blockBytes);
          block.fill(++tick);
          memory.begin();
          memory.segment.scatter(block, Float64Array.of(blockOffset, 0, blockBytes));
          time(() => mirror.rootWith(Float64Array.of(blockOffset, blockBytes)));
          memory.commit();
          mirror.accept();
        }),
      limit: () => path(ms),
      close: () => memory.close(),
    };
  },
};

/** Verification of 256 MiB after one cell has changed, at either end. */
export const verificationBenches: readonly Bench[] = [publisher, follower];
