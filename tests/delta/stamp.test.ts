import { expect, test } from "bun:test";
import { aheadMsMax, clockOf, HybridClock, stampOf } from "../../src/delta/stamp.ts";

test("a write is as late as the wall clock says, and later than what it overwrites", () => {
  let wall = 1_000_000;
  const clock = new HybridClock(() => wall, 7);
  const first = clock.now;
  expect(first / 2048).toBe(1_000_000);
  expect(clock.after(0)).toBe(first);
  expect(clock.after(first - 1)).toBe(first);
  expect(clock.after(first)).toBe(first + 1);
  expect(clock.after(first + 1000)).toBe(first + 1001);
  wall -= 500_000;
  expect(clock.after(first)).toBe(first + 1);
  expect(clock.after(0)).toBe(500_000 * 2048);
});

test("a stamp has the clock above eleven bits of the writer, until the year 2109", () => {
  const clock = new HybridClock(() => Date.UTC(2109, 0), 0xfff);
  const { now } = clock;
  const stamp = stampOf(now, clock.tag);
  expect(stamp).toBe((BigInt(now) << 11n) | 0x7ffn);
  expect(clockOf(stamp)).toBe(now);
  expect(stamp).toBeLessThan(2n ** 64n);
  expect(Number.isSafeInteger(now)).toBe(true);
});

test("what claims to be of a far future is not followed, and a clock that was there comes back", () => {
  let wall = 10 * aheadMsMax;
  const clock = new HybridClock(() => wall, 0);
  const { limit } = clock;
  expect(limit).toBe((wall + aheadMsMax) * 2048);
  // What was believed is overwritten, as often as one likes: it does not fall back behind what others have taken over.
  let last = limit;
  for (let i = 0; i < 1000; i++) last = clock.after(last);
  expect(last).toBe(limit + 1000);
  wall -= aheadMsMax;
  expect(clock.after(last)).toBe(wall * 2048);
  expect(aheadMsMax % (15 * 60_000)).not.toBe(0);
});

test("a wall clock beyond what a stamp can hold is named", () => {
  for (const wall of [Date.UTC(2110, 0), Number.NaN, Number.POSITIVE_INFINITY, -1])
    expect(() => new HybridClock(() => wall, 0).now).toThrow(
      expect.objectContaining({ code: "CLOCK_AHEAD" }),
    );
});
