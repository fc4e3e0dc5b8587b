import { expect, setDefaultTimeout, test } from "bun:test";
import type { Runs } from "../../src/delta/runs.ts";
import { newReading } from "../../src/node/publishing/encoding.ts";
import { Feeds } from "../../src/node/publishing/feed.ts";
import { Sending } from "../../src/node/publishing/sending.ts";
import { Memory } from "./memory.ts";

setDefaultTimeout(30_000);

test("each delta may begin the next one with its last part, however many there are", () => {
  const memory = new Memory(64);
  const feeds = new Feeds(memory);
  const encoding = feeds
    .take(Float64Array.of(0, 64) as Runs, { verify: false, mode: "every" })
    .delta(0, true)!;
  const count = 50_000;
  let [written, sent] = [0, 0];
  const next = () => {
    const reading = newReading({ tooSlow() {}, failed() {} }, 1, encoding);
    feeds.read(reading);
    sending.begin(reading);
  };
  const sending: Sending = new Sending(feeds, {
    isBlocked: false,
    write: () => void written++,
    sent: () => void (++sent < count && next()),
  });
  next();
  expect([written, sent]).toEqual([count, count]);
  expect(sending.isEmpty).toBe(true);
});
