import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { RunIndex } from "../../src/delta/run_index.ts";
import { intersects, normalise, type Runs } from "../../src/delta/runs.ts";
import { anyPairs } from "./samples.ts";

function sorted(keys: number[]): number[] {
  return keys.sort((a, b) => a - b);
}

function slowly(all: Map<number, Runs>, runs: Runs): number[] {
  return sorted([...all].filter(([, own]) => intersects(own, runs)).map(([key]) => key));
}

describe("RunIndex", () => {
  const anyCommand = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({ do: fc.constant("set" as const), key: fc.nat(150), pairs: anyPairs }),
    },
    {
      weight: 2,
      arbitrary: fc.record({ do: fc.constant("delete" as const), key: fc.nat(150), pairs: fc.constant([]) }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ do: fc.constant("query" as const), key: fc.constant(0), pairs: anyPairs }),
    },
  );

  test("finds what looking at every key finds, whatever was added and removed before", () => {
    fc.assert(
      fc.property(fc.array(anyCommand, { maxLength: 400, size: "max" }), (commands) => {
        const index = new RunIndex<number>();
        const all = new Map<number, Runs>();
        for (const { do: what, key, pairs } of commands) {
          const runs = normalise(pairs);
          if (what === "set") {
            index.set(key, runs);
            all.set(key, runs);
          } else if (what === "delete") {
            expect(index.delete(key)).toBe(all.delete(key));
          } else {
            expect(sorted(index.query(runs))).toEqual(slowly(all, runs));
          }
          expect(index.size).toBe(all.size);
        }
      }),
      { numRuns: 60 },
    );
  });

  test("keys with more runs than are indexed one by one are found exactly", () => {
    const index = new RunIndex<number>();
    const all = new Map<number, Runs>();
    for (let key = 0; key < 80; key++) {
      const pairs = Array.from({ length: 3000 }, (_, i) => [i * 80 + key, 1]).flat();
      all.set(key, Float64Array.from(pairs));
      index.set(key, all.get(key)!);
    }
    for (const pairs of [
      [0, 1],
      [79, 1],
      [80 * 1500 + 17, 3],
      [80 * 3000, 5],
      [80 * 2999 + 78, 10],
      [5, 1, 85, 1, 166, 2],
    ]) {
      const runs = Float64Array.from(pairs);
      expect(sorted(index.query(runs))).toEqual(slowly(all, runs));
    }
    expect(index.query(Float64Array.of(0, 80 * 3000)).length).toBe(80);
  });

  test("a query looks at few of many keys", () => {
    const index = new RunIndex<number>();
    let looks = 0;
    const count = 20_000;
    for (let key = 0; key < count; key++) {
      // Runs that count how often they are looked into: what a query costs beyond the walk down the tree.
      const runs = new Proxy(Float64Array.of(64 * key, 64), {
        get(target, property) {
          if (property === "0") looks++;
          const value = Reflect.get(target, property, target) as unknown;
          return typeof value === "function" ? value.bind(target) : value;
        },
      });
      index.set(key, runs);
    }
    index.query(Float64Array.of(0, 1));
    looks = 0;
    expect(sorted(index.query(Float64Array.of(64 * 777 + 3, 64)))).toEqual([777, 778]);
    expect(looks).toBeLessThan(20);
  });
});
