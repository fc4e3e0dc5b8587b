import { describe, expect, test } from "bun:test";
import { Gaps } from "../../src/node/following/gaps.ts";
import type { Delta } from "../../src/protocol/assembly.ts";

function delta(from: number, to: number, about: Partial<Delta> = {}): Delta {
  return {
    subscription: 1,
    incarnation: "",
    from,
    to,
    totalBytes: 0,
    full: false,
    repair: false,
    meta: undefined,
    root: undefined,
    partsBefore: 0,
    chunks: [],
    ...about,
  };
}

describe("in the mode every", () => {
  test("each commit by itself is no gap, and neither are versions that concern nobody here", () => {
    const gaps = new Gaps("every");
    expect(gaps.after(null, delta(0, 7, { full: true }))).toBe(null);
    expect(gaps.after(7, delta(7, 8))).toBe(null);
    expect(gaps.after(8, delta(8, 12))).toBe(null);
  });

  test("what was expected is told of once, with its cause", () => {
    const gaps = new Gaps("every");
    gaps.expect("overflow");
    expect(gaps.after(8, delta(8, 12))).toEqual({ from: 8, version: 12, cause: "overflow" });
    expect(gaps.after(12, delta(12, 13))).toBe(null);
    gaps.expect("reconnect");
    gaps.expectNone();
    expect(gaps.after(13, delta(13, 17))).toBe(null);
  });

  test("a restart is told of once, as the versions of the new life, whatever else happened until its state came", () => {
    const gaps = new Gaps("every");
    gaps.expect("restart");
    gaps.expect("reconnect");
    gaps.expect("overflow");
    expect(gaps.after(null, delta(0, 2, { full: true }))).toEqual({ from: 0, version: 2, cause: "restart" });
    expect(gaps.after(2, delta(2, 3))).toBe(null);
    gaps.expect("restart");
    expect(gaps.after(null, delta(0, 0, { full: true }))).toEqual({ from: 0, version: 0, cause: "restart" });
    const [before, after] = [new Gaps("every"), new Gaps("every")];
    before.expect("reconnect");
    after.takeOver(before);
    expect(after.after(3, delta(3, 9))).toBe(null);
    before.expect("restart");
    after.takeOver(before);
    expect(after.after(null, delta(0, 9, { full: true }))).toMatchObject({ cause: "restart" });
  });

  test("deltas that agree by chance while something is mended, and the repair after them, are told of each", () => {
    const gaps = new Gaps("every");
    gaps.expect("mismatch"); // of 60
    expect(gaps.after(59, delta(61, 62))).toEqual({ from: 59, version: 62, cause: "mismatch" });
    expect(gaps.after(62, delta(66, 67))).toEqual({ from: 62, version: 67, cause: "mismatch" });
    const repair = delta(71, 72, { repair: true });
    expect(gaps.after(67, repair)).toEqual({ from: 67, version: 72, cause: "mismatch" });
    expect(gaps.after(72, delta(72, 73))).toBe(null);
  });
});

test("in the mode latest nobody counts on every version", () => {
  const gaps = new Gaps("latest");
  for (const cause of ["reconnect", "restart"] as const) {
    gaps.expect(cause);
    expect(gaps.after(3, delta(3, 9))).toBe(null);
  }
});
