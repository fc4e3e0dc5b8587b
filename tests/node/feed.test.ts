import { expect, setDefaultTimeout, test } from "bun:test";
import type { Runs } from "../../src/delta/runs.ts";
import { type Encoding, newReading, type Reading } from "../../src/node/encoding.ts";
import { Feeds } from "../../src/node/feed.ts";
import { Memory } from "./memory.ts";

setDefaultTimeout(30_000);

const latest = { verify: false, mode: "latest" } as const;
const nobody = { tooSlow() {}, failed() {} };

function begin(feeds: Feeds, encoding: Encoding): Reading {
  const reading = newReading(nobody, 1, encoding);
  feeds.read(reading);
  feeds.begin(reading);
  return reading;
}

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
