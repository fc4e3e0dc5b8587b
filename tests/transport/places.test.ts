import { describe, expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import { Places } from "../../src/transport/places.ts";
import { seed } from "./random.ts";

setDefaultTimeout(30_000);

describe("places", () => {
  test("there are as many as said; who leaves twice leaves once", () => {
    const places = new Places(2);
    const [a] = [0, 1].map(() => {
      const place = places.take(() => {})!;
      place.settle();
      return place;
    });
    expect(places.take(() => {})).toBeNull();
    a!.leave();
    a!.leave();
    expect(places.taken).toBe(1);
    expect(places.take(() => {})).not.toBeNull();
  });

  test("a newcomer takes the place of the one that has been shaking hands for the longest time", () => {
    const places = new Places(4); // two of them may be at it
    const gone: number[] = [];
    const all = [0, 1, 2, 3].map((i) => places.take(() => void gone.push(i))!);
    expect(gone).toEqual([0, 1]);
    for (const place of all) place.settle(); // of those that are gone, this is nothing
    expect([places.taken, places.unsettled, places.evicted]).toEqual([2, 0, 2]);
    places.take(() => {})!.settle();
    places.take(() => {})!.settle();
    expect(places.take(() => {})).toBeNull(); // the settled ones stay
    expect(gone).toEqual([0, 1]);
  });

  test(`never more than there are, and nobody is evicted who has settled (seed ${seed})`, () => {
    const step = fc.tuple(fc.constantFrom("take", "settle", "leave"), fc.nat(20));
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 6 }), fc.array(step, { maxLength: 80 }), (max, steps) => {
        const places = new Places(max);
        const standing = new Map<
          number,
          { isSettled: boolean; place: NonNullable<ReturnType<Places["take"]>> }
        >();
        for (const [i, [what, which]] of steps.entries()) {
          const [key, each] = [...standing][which % Math.max(standing.size, 1)] ?? [];
          if (what === "take") {
            const place = places.take(() => {
              expect(standing.get(i)!.isSettled).toBe(false);
              standing.delete(i);
            });
            if (place) standing.set(i, { isSettled: false, place });
            else expect([...standing.values()].filter(({ isSettled }) => isSettled).length).toBe(max);
          } else if (each && what === "settle") {
            each.place.settle();
            each.isSettled = true;
          } else if (each) {
            each.place.leave();
            standing.delete(key!);
          }
          expect(places.taken).toBe(standing.size);
          expect(places.taken).toBeLessThanOrEqual(max);
        }
      }),
      { seed, numRuns: 300 },
    );
  });
});
