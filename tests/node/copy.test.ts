import { expect, setDefaultTimeout, test } from "bun:test";
import { attach, start } from "../../src/index.ts";
import { uniqueName } from "../memory/names.ts";

setDefaultTimeout(30_000);

const options = {
  shape: [100, 3],
  arrays: { weights: { shape: [7], dtype: "f32" as const }, flags: { shape: [5], dtype: "bool" as const } },
};

test("a copy is one version of all of it, keeps still, and comes up to date", async () => {
  await using node = await start("copy", options);
  node.write((a, tx) => {
    a.fill(1);
    tx.array("weights").fill(1);
    tx.meta = { at: 1 };
  });
  using copy = node.copy([null, "weights"]);
  expect([copy.version, copy.meta, copy.isNewest]).toEqual([1, { at: 1 }, true]);
  node.write((a, tx) => {
    a.set(99, 2, 5);
    tx.array("weights").set(6, 5);
    tx.meta = { at: 2 };
  });
  expect([copy.version, copy.meta, copy.isNewest]).toEqual([1, { at: 1 }, false]);
  expect([copy.array().get(99, 2), copy.array("weights").get(6)]).toEqual([1, 1]);
  expect(copy.refresh()).toBe(true);
  expect([copy.version, copy.meta, copy.isNewest]).toEqual([2, { at: 2 }, true]);
  expect([copy.array().get(99, 2), copy.array("weights").get(6), copy.array().get(0, 0)]).toEqual([5, 5, 1]);
  expect(copy.refresh()).toBe(false);
});

test("equal to the node after any commits, also in another process' place (oracle)", async () => {
  const name = uniqueName("copy");
  await using node = await start(name, { ...options, share: true });
  await using reader = await attach(name);
  using own = node.copy([null, "flags"]);
  using other = reader.copy(["flags", null]);
  let seed = 99;
  const random = (below: number) => (seed = (Math.imul(seed, 1103515245) + 12345) >>> 0) % below;
  for (let round = 0; round < 200; round++) {
    for (let commits = random(3); commits > 0; commits--)
      node.write((a, tx) => {
        a.set(random(100), random(3), random(1000));
        tx.array("flags").set(random(5), random(2) === 1);
      });
    const before = own.version;
    const cells = [...own.array().data] as number[];
    for (const copy of [own, other]) {
      copy.refresh();
      expect(copy.array().toArray()).toEqual(node.ndarray().toArray());
      expect(copy.array("flags").toArray()).toEqual(node.ndarray("flags").toArray());
    }
    const runs = own.changedSince(before);
    const isCovered = (at: number) =>
      runs.some((first, i) => i % 2 === 0 && at >= first && at < first + runs[i + 1]!);
    for (const [at, cell] of cells.entries())
      if (own.array().data[at] !== cell) expect(isCovered(at), `cell ${at} of round ${round}`).toBe(true);
    if (own.version === before) expect(runs.length).toBe(0);
  }
});

test("names what it does not have, outlives its node, and ends", async () => {
  const node = await start("copy", options);
  node.write((a) => a.fill(3));
  expect(() => node.copy(["absent"])).toThrow(/absent/);
  const copy = node.copy();
  expect(() => copy.array("weights")).toThrow(/no array "weights"/);
  await node.close();
  expect(() => copy.refresh()).toThrow(/copy is closed/);
  expect(copy.array().get(1, 1)).toBe(3);
  copy.close();
  copy.close();
  expect(() => copy.array().get(1, 1)).toThrow();
});
