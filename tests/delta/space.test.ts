import { expect, test } from "bun:test";
import fc from "fast-check";
import { lastAtMost, SubscribedSpace } from "../../src/delta/space.ts";
import { anyPairs, runsOf, setOf } from "./samples.ts";

const anyBytes = anyPairs.map(setOf);

/** The subscribed bytes in order: position is index. */
function layOut(bytes: Set<number>): number[] {
  return [...bytes].sort((a, b) => a - b);
}

test("positions and offsets are each other's inverse", () => {
  fc.assert(
    fc.property(anyBytes, (bytes) => {
      const order = layOut(bytes);
      const space = new SubscribedSpace(runsOf(bytes));
      expect(space.size).toBe(order.length);
      expect(order.map((_, position) => space.offsetOf(position))).toEqual(order);
      for (let offset = 0; offset < 140; offset++)
        expect(space.positionOf(offset)).toBe(order.indexOf(offset));
    }),
  );
});

test("a range of positions is some runs of the image, and the other way round", () => {
  fc.assert(
    fc.property(anyBytes, anyBytes, fc.nat(150), fc.nat(150), (bytes, changed, one, other) => {
      const order = layOut(bytes);
      const space = new SubscribedSpace(runsOf(bytes));
      const [from, to] = [Math.min(one, other, order.length), Math.min(Math.max(one, other), order.length)];
      expect(space.imageRuns(from, to)).toEqual(runsOf(order.slice(from, to)));
      const positions = order.flatMap((offset, position) => (changed.has(offset) ? [position] : []));
      expect(space.positionRuns(runsOf(changed))).toEqual(runsOf(positions));
    }),
    { numRuns: 300 },
  );
});

test("leaves are those that hold a changed byte", () => {
  fc.assert(
    fc.property(anyBytes, anyBytes, fc.integer({ min: 1, max: 9 }), (bytes, changed, leafBytes) => {
      const order = layOut(bytes);
      const space = new SubscribedSpace(runsOf(bytes));
      const leaves = new Set<number>();
      for (const [position, offset] of order.entries())
        if (changed.has(offset)) leaves.add(Math.floor(position / leafBytes));
      expect(space.leaves(runsOf(changed), leafBytes)).toEqual(runsOf(leaves));
    }),
    { numRuns: 300 },
  );
});

test("lastAtMost", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(30)), fc.nat(30), (values, value) => {
      const starts = Float64Array.from(values.sort((a, b) => a - b));
      expect(lastAtMost(starts, value)).toBe(starts.findLastIndex((start) => start <= value));
    }),
  );
});
