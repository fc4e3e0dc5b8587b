import { heapStats } from "bun:jsc";
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Runs } from "../../src/delta/runs.ts";
import { type Encoding, newReading, type Reading } from "../../src/node/publishing/encoding.ts";
import { type Feed, Feeds } from "../../src/node/publishing/feed.ts";
import { realWorld } from "../../src/node/runtime/world.ts";
import { Memory } from "./memory.ts";

setDefaultTimeout(30_000);

const MiB = 2 ** 20;
const latest = { verify: false, mode: "latest" } as const;
const nobody = { tooSlow() {}, failed() {} };

/** At version 101, each of which changed all of it. */
function published(bytes = MiB) {
  const memory = new Memory(bytes);
  const feeds = new Feeds(memory, realWorld, { bytesMax: 32 * MiB }); // a quarter is for those that nobody reads
  const feed = feeds.take(Float64Array.of(0, bytes) as Runs, latest);
  for (let i = 0; i < 100; i++) memory.write();
  return { memory, feeds, feed };
}

function begin(feeds: Feeds, encoding: Encoding): Reading {
  const reading = newReading(nobody, 1, encoding);
  feeds.read(reading);
  feeds.begin(reading);
  return reading;
}

function takeAll(feeds: Feeds, encoding: Encoding): void {
  const reading = begin(feeds, encoding);
  for (; reading.next < encoding.partCount; feeds.moved(reading)) encoding.part(reading.next);
  feeds.finish(reading);
}

function liveBytes(): number {
  Bun.gc(true);
  return heapStats().extraMemorySize;
}

describe("deltas that nobody reads", () => {
  const from = (feed: Feed, version: number) => feed.delta(version, false)!;

  test("are kept for whoever asks next, but only a few, also where no commit comes for long", () => {
    const { feeds, feed } = published();
    const before = liveBytes();
    for (let version = 1; version <= 100; version++) takeAll(feeds, from(feed, version));
    expect(liveBytes() - before).toBeWithin(4 * MiB, 16 * MiB);
    const { encoded } = feed;
    for (let version = 93; version <= 100; version++) from(feed, version);
    expect(feed.encoded).toBe(encoded);
    from(feed, 92);
    expect(feed.encoded).toBe(encoded + 1);
  });

  test("are none of those that somebody reads, which all are shared", () => {
    const { memory, feeds, feed } = published();
    const readings = Array.from({ length: 50 }, (_, i) => begin(feeds, from(feed, i + 1)));
    for (let version = 51; version <= 100; version++) takeAll(feeds, from(feed, version));
    for (const { encoding } of readings) expect(from(feed, encoding.from)).toBe(encoding);
    for (const reading of readings) feeds.finish(reading);
    const { encoded } = feed;
    for (let version = 43; version <= 50; version++) from(feed, version);
    expect(feed.encoded).toBe(encoded);
    memory.write();
    expect(from(feed, 50).to).toBe(memory.version);
  });
});

test("deltas that nobody reads are bounded over all feeds together, and gone with the next commit or their feed", () => {
  const count = 64;
  const { memory, feeds } = published(count * MiB);
  const pieces = Array.from({ length: count }, (_, i) =>
    feeds.take(Float64Array.of(i * MiB, MiB) as Runs, latest),
  );
  const before = liveBytes();
  const readAll = () => {
    for (const feed of pieces) takeAll(feeds, feed.delta(1, false)!);
  };
  readAll();
  expect(liveBytes() - before).toBeWithin(6 * MiB, 10 * MiB);
  expect(feeds.resting.bytes).toBeWithin(7 * MiB, 8 * MiB);
  const half = feeds.resting.bytes / 2;
  for (const feed of pieces.slice(-4)) feeds.drop(feed);
  expect(feeds.resting.bytes).toBe(half);
  memory.write(0, 64);
  expect(feeds.resting.bytes).toBe(0);
  expect(liveBytes() - before).toBeLessThan(MiB);
});

test("what everybody has passed of a delta under way is of no use after a commit", () => {
  const { memory, feeds, feed } = published(8 * MiB);
  const before = liveBytes();
  const encodings = Array.from({ length: 32 }, (_, version) => feed.delta(version + 1, false)!);
  for (const encoding of encodings) {
    const reading = begin(feeds, encoding);
    for (; reading.next < 20; feeds.moved(reading)) encoding.part(reading.next);
  }
  expect(liveBytes() - before).toBeGreaterThan(24 * MiB);
  memory.write(0, 64);
  expect(liveBytes() - before).toBeLessThan(4 * MiB);
});

test("what ends of many costs no more each than what ends of a few", () => {
  const msEach = (count: number) => {
    const memory = new Memory(64 * count);
    const feeds = new Feeds(memory);
    const all = Array.from({ length: count }, (_, i) => {
      const feed = feeds.take(Float64Array.of(64 * i, 64) as Runs, latest);
      return { feed, reading: begin(feeds, feed.delta(0, true)!) };
    });
    memory.write(0, 64); // from here on what was read is of no use to others
    const begun = performance.now();
    for (const { feed, reading } of all) {
      feeds.finish(reading);
      feeds.drop(feed);
    }
    return (performance.now() - begun) / count;
  };
  const best = (count: number) => Math.min(...Array.from({ length: 3 }, () => msEach(count)));
  const few = best(500);
  expect(best(8000) / few).toBeLessThan(5);
});

test("all feeds together have a limited number of stretches; those of a few come beside", () => {
  const memory = new Memory(MiB);
  const feeds = new Feeds(memory, realWorld, { stretchesMax: 1000 });
  const column = (first: number, count: number) =>
    Float64Array.from({ length: 2 * count }, (_, i) => (i % 2 === 0 ? first + 8 * i : 1)) as Runs;
  const first = feeds.take(column(0, 600), latest);
  expect(feeds.take(column(0, 600), latest)).toBe(first); // who follows the same
  expect(() => feeds.take(column(1, 600), latest)).toThrow(expect.objectContaining({ code: "LIMIT" }));
  const second = feeds.take(column(1, 400), latest);
  expect(() => feeds.take(column(2, 65), latest)).toThrow("1000 separate stretches");
  for (let i = 2; i < 50; i++) feeds.take(column(i, 64), latest);
  feeds.drop(second);
  feeds.take(column(3, 400), latest);
});

test("a tree is paid for by the first who follows, until nobody does any more", () => {
  const feeds = new Feeds(new Memory(MiB));
  const paid: number[] = [];
  const take = (bytes: number, verify: boolean) =>
    feeds.take(Float64Array.of(0, bytes) as Runs, { verify, mode: "latest" }, (leaves) => paid.push(leaves));
  const feed = take(MiB, true);
  for (let i = 0; i < 1000; i++) expect(take(MiB, true)).toBe(feed);
  take(MiB, false);
  expect(paid).toEqual([256]);
  feeds.drop(feed);
  take(MiB, true);
  take(4097, true);
  expect(paid).toEqual([256, 256, 2]);
});
