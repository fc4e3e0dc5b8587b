import { expect, test } from "bun:test";
import { aheadMsMax, clockOf, HybridClock, stampOf } from "../../src/delta/stamp.ts";

test("the clock goes with the wall clock, never back, and past what it has seen", () => {
  let wall = 1_000_000;
  const clock = new HybridClock(() => wall, 7);
  const first = clock.next();
  expect(first / 2048).toBe(1_000_000);
  wall -= 500_000;
  expect(clock.next()).toBe(first + 1);
  clock.observe(first + 1000);
  clock.observe(null);
  clock.observe(3);
  expect(clock.next()).toBe(first + 1001);
  wall += 600_000;
  expect(clock.next() / 2048).toBe(1_100_000);
});

test("a stamp has the clock above eleven bits of the writer, until the year 2109", () => {
  const clock = new HybridClock(() => Date.UTC(2109, 0), 0xfff);
  const now = clock.next();
  const stamp = stampOf(now, clock.tag);
  expect(stamp).toBe((BigInt(now) << 11n) | 0x7ffn);
  expect(clockOf(stamp)).toBe(now);
  expect(stamp).toBeLessThan(2n ** 64n);
  expect(Number.isSafeInteger(now)).toBe(true);
});

test("what claims to be of a far future is not followed, and a clock that was there comes back", () => {
  let wall = 10 * aheadMsMax;
  const clock = new HybridClock(() => wall, 0);
  const near = (wall + aheadMsMax) * 2048;
  expect(clock.limit).toBe(near);
  clock.observe(near + 1);
  expect(clock.next()).toBe(wall * 2048);
  clock.observe(near);
  expect(clock.next()).toBe(near + 1);
  wall -= aheadMsMax / 2;
  expect(clock.next()).toBe(wall * 2048);
});

test("a wall clock beyond what a stamp can hold is named", () => {
  for (const wall of [Date.UTC(2110, 0), Number.NaN, Number.POSITIVE_INFINITY, -1])
    expect(() => new HybridClock(() => wall, 0).next()).toThrow(
      expect.objectContaining({ code: "CLOCK_AHEAD" }),
    );
});
