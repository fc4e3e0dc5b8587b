import { describe, expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import { borrowBytesMin, Outbox } from "../../src/transport/outbox.ts";
import { Random } from "./random.ts";

setDefaultTimeout(30_000);

/** A system that takes `room` bytes and is then full. */
class Drain {
  readonly taken: Uint8Array[] = [];
  readonly sources: Uint8Array[] = [];
  room = Number.POSITIVE_INFINITY;

  readonly sink = (bytes: Uint8Array, offset: number, length: number): number => {
    if (this.room < 0) return -1;
    const count = Math.min(length, this.room);
    this.taken.push(bytes.slice(offset, offset + count));
    this.sources.push(bytes);
    this.room -= count;
    return count;
  };
}

const anyLength = fc.oneof(
  fc.integer({ min: 0, max: 200 }),
  fc.integer({ min: 3000, max: 5000 }),
  fc.integer({ min: borrowBytesMin - 2, max: borrowBytesMin + 2 }),
  fc.integer({ min: 0, max: 100_000 }),
);
const anyStep = fc.oneof(
  fc.record({ push: fc.array(anyLength, { maxLength: 6 }) }),
  fc.record({ room: fc.integer({ min: 0, max: 150_000 }) }),
);

describe("an outbox", () => {
  test("sends every byte in order, whatever is pushed and taken when", () => {
    fc.assert(
      fc.property(fc.array(anyStep, { maxLength: 40 }), fc.integer({ min: 1 }), (steps, seed) => {
        const random = new Random(seed);
        const drain = new Drain();
        const outbox = new Outbox(drain.sink);
        const pushed: Uint8Array[] = [];
        for (const step of steps) {
          if ("push" in step) {
            const parts = step.push.map((length) => random.bytes(length));
            pushed.push(...parts);
            outbox.push(parts);
          } else {
            drain.room = step.room;
            expect(outbox.flush()).toBe(outbox.bytes === 0 ? "empty" : "full");
          }
          const sent = Buffer.concat(drain.taken);
          const all = Buffer.concat(pushed);
          expect(outbox.bytes).toBe(all.length - sent.length);
          expect(sent.equals(all.subarray(0, sent.length))).toBe(true);
        }
        drain.room = Number.POSITIVE_INFINITY;
        expect(outbox.flush()).toBe("empty");
        expect(Buffer.concat(drain.taken).equals(Buffer.concat(pushed))).toBe(true);
      }),
      { numRuns: 150 },
    );
  });

  test("gathers small parts into one call, and lends large ones from where they lie", () => {
    const drain = new Drain();
    const outbox = new Outbox(drain.sink);
    outbox.push(Array.from({ length: 1000 }, (_, i) => new Uint8Array(64).fill(i)));
    outbox.flush();
    expect(drain.taken.length).toBe(1);
    const large = new Uint8Array(borrowBytesMin);
    const small = new Uint8Array(borrowBytesMin - 1);
    outbox.push([small, large]);
    outbox.flush();
    expect(drain.sources[1]).not.toBe(small);
    expect(drain.sources[2]).toBe(large);
  });

  test("small parts may change as soon as they are pushed", () => {
    const drain = new Drain();
    const outbox = new Outbox(drain.sink);
    const part = Uint8Array.of(1, 2, 3);
    outbox.push([part, part]);
    part.fill(9);
    outbox.flush();
    expect([...drain.taken[0]!]).toEqual([1, 2, 3, 1, 2, 3]);
  });

  test("two outboxes never gather in the same buffer", () => {
    const full = new Drain();
    full.room = 1;
    const first = new Outbox(full.sink);
    first.push([new Uint8Array(100).fill(1)]);
    first.flush();
    const second = new Outbox(new Drain().sink);
    second.push([new Uint8Array(100).fill(2)]);
    second.flush();
    second.push([new Uint8Array(100).fill(3)]);
    full.room = 1000;
    first.flush();
    expect(Buffer.concat(full.taken).every((byte) => byte === 1)).toBe(true);
  });

  test("a sink that takes nothing any more is broken, and clear forgets the rest", () => {
    const drain = new Drain();
    drain.room = -1;
    const outbox = new Outbox(drain.sink);
    outbox.push([new Uint8Array(10)]);
    expect(outbox.flush()).toBe("broken");
    expect(outbox.bytes).toBe(10);
    outbox.clear();
    expect(outbox.bytes).toBe(0);
    expect(outbox.flush()).toBe("empty");
  });
});
