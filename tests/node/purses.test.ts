import { expect, setDefaultTimeout, test } from "bun:test";
import { Purses } from "../../src/node/doors/purses.ts";
import { Node } from "../../src/node/node.ts";
import { leavesMax } from "../../src/node/publishing/allowance.ts";
import { realWorld } from "../../src/node/runtime/world.ts";
import { comingFrom } from "./abroad.ts";
import { RawFollower } from "./raw.ts";

setDefaultTimeout(60_000);

test("one address of another machine has one purse, each link of this machine its own", () => {
  const purses = new Purses(() => 0);
  const abroad = purses.of("203.0.113.5");
  abroad.owe(leavesMax + 1);
  expect(purses.of("203.0.113.5")).toBe(abroad);
  expect(() => purses.of("203.0.113.5").owe(1)).toThrow("wait");
  purses.of("203.0.113.6").owe(1);
  for (const here of ["this machine", "unix:/run/a.sock"]) expect(purses.of(here)).not.toBe(purses.of(here));
});

test("addresses that have not come for the longest time are forgotten", () => {
  const purses = new Purses(() => 0);
  const [first, second] = [purses.of("0"), purses.of("1")];
  for (let i = 2; i < 4096; i++) purses.of(`${i}`);
  expect(purses.of("0")).toBe(first);
  purses.of("4096");
  expect(purses.of("0")).toBe(first);
  expect(purses.of("1")).not.toBe(second);
});

test("coming again and again from another machine has no more hashed than staying", async () => {
  const shape = [2 ** 24];
  const options = { shape, dtype: "u8", listen: "127.0.0.1:0" } as const;
  const world = comingFrom("203.0.113.5:1000", { ...realWorld, now: () => 0 }); // no credit comes back
  await using node = await Node.start("node", options, world);
  node.write((a) => a.fill(1));
  node.write((a) => a.set(0, 2));
  const treesMax = (leavesMax * 4096) / shape[0]!;
  const answers: string[] = [];
  for (let i = 0; i < treesMax + 20 && answers.at(-1) !== "ERROR"; i++) {
    using raw = await (await RawFollower.connect(node.addresses[0]!)).join("again");
    const { incarnation } = raw.of("WELCOME")[0]!;
    const regions = [{ array: null, start: [0], shape }];
    raw.subscribe(1, { regions, verify: true, have: { incarnation, version: 1 } });
    await raw.turn();
    answers.push(raw.of("ERROR").length > 0 ? "ERROR" : "tree");
  }
  expect(answers.length).toBeWithin(treesMax, treesMax + 4);
  expect(answers.at(-1)).toBe("ERROR");
});
