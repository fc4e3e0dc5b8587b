/** Deltas to the word for followers that lack a version or a few. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { start } from "../../src/index.ts";
import { until } from "./until.ts";

setDefaultTimeout(30_000);

const cells = 100_000;
const seed = 20_240_607;

function randomFrom(state: number): (limit: number) => number {
  return (limit) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
}

test.each([true, false])(
  "followers end byte-equal, checkHash %j, whatever changed and however far behind",
  async (checkHash) => {
    const random = randomFrom(seed);
    const options = {
      shape: [cells],
      dtype: "u16",
      arrays: { w: { shape: [33, 7], dtype: "f64" } },
    } as const;
    await using server = await start("exact", { ...options, listen: 0 });
    const address = server.addresses[0]!;
    await using whole = await start("whole", { ...options, server: address, checkHash });
    await using part = await start("part", {
      shape: [5000],
      dtype: "u16",
      server: address,
      checkHash,
      maps: [[[1237], [5000], [0], null]],
    });
    await Promise.all([whole.ready, part.ready]);
    for (let round = 0; round < 60; round++) {
      const commits = 1 + random(3) * random(9);
      for (let i = 0; i < commits; i++) {
        const count = random(4) === 0 ? random(30_000) : random(40);
        const isUndone = random(5) === 0;
        const write = () =>
          server.write((a, tx) => {
            for (let n = 0; n < count; n++) a.set(random(cells), random(65_536));
            if (random(3) === 0) tx.array("w").set(random(33), random(7), random(1000) / 7);
            if (random(9) === 0) tx.meta = { round };
            if (isUndone) throw new Error("undone");
          });
        if (isUndone) expect(write).toThrow("undone");
        else write();
      }
      if (random(3) > 0) await Bun.sleep(random(4));
    }
    server.write((a) => a.set(cells - 1, 4321));
    server.write((a) => a.set(2000, Number(a.get(2000)) ^ 1));
    const { exact } = server.version;
    await until(() => whole.version[address] === exact && part.version[address] === exact, "both are there");
    const bytes = server.ndarray().data;
    expect(whole.ndarray().data).toEqual(bytes);
    expect(whole.ndarray("w").data).toEqual(server.ndarray("w").data);
    expect(whole.meta).toEqual(server.meta);
    expect(part.ndarray().data).toEqual(bytes.slice(1237, 6237) as Uint16Array);
    for (const node of [whole, part]) expect(node.verify().damage).toEqual([]);
  },
);

test("single cells far apart travel as words, not as blocks", async () => {
  await using server = await start("small", { shape: [cells], dtype: "u16", listen: 0 });
  const address = server.addresses[0]!;
  await using follower = await start("follower", {
    shape: [cells],
    dtype: "u16",
    server: address,
  });
  await follower.ready;
  const sent: number[] = [];
  for (let round = 1; round <= 4; round++) {
    const before = server.stats().links[0]!.sentBytes;
    server.write((a) => {
      for (let i = 0; i < cells; i += 100) a.set(i, round);
    });
    await until(() => follower.version[address] === round, "the version is there");
    sent.push(server.stats().links[0]!.sentBytes - before);
  }
  // 1000 of them: 16 bytes of description each and a word of 8, where a block has 64. Who asks for the first time gets blocks.
  expect(sent[0]).toBeGreaterThan(75_000);
  for (const bytes of sent.slice(1)) expect(bytes).toBeLessThan(30_000);
});
