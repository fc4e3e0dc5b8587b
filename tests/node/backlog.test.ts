import { expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import { Backlog } from "../../src/node/publishing/backlog.ts";
import type { Reading } from "../../src/node/publishing/encoding.ts";

setDefaultTimeout(30_000);

function reading(to: number): Reading {
  const encoding = { to, memoryBytes: to } as Reading["encoding"];
  return {
    link: { tooSlow() {}, failed() {} },
    subscription: 1,
    encoding,
    next: 0,
    begunAt: 0,
    movedAt: null,
  };
}

test("first in, first out, and the bytes are those of what waits", () => {
  const steps = fc.array(
    fc.tuple(fc.constantFrom("push", "shift", "drain"), fc.integer({ min: 1, max: 3000 })),
    {
      maxLength: 20,
    },
  );
  fc.assert(
    fc.property(steps, (plan) => {
      const backlog = new Backlog();
      let model: number[] = [];
      let [last, tail] = [0, null as number | null];
      for (const [what, count] of plan) {
        if (what === "push") {
          for (let i = 0; i < count; i++) backlog.push(reading(model[model.push(++last) - 1]!));
          tail = last;
        }
        if (what === "shift")
          for (let i = 0; i < count; i++) expect(backlog.shift()?.encoding.to).toBe(model.shift());
        if (what === "drain") {
          expect(backlog.drain().map(({ encoding }) => encoding.to)).toEqual(model);
          model = [];
          tail = null;
        }
        expect(backlog.bytes).toBe(model.reduce((sum, bytes) => sum + bytes, 0));
        expect(backlog.tail).toBe(tail);
      }
    }),
    { numRuns: 50, seed: 4 },
  );
});
