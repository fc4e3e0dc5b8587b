import { expect, setDefaultTimeout, test } from "bun:test";
import { aheadMsMax } from "../../src/delta/stamp.ts";
import type { Node } from "../../src/index.ts";
import { Node as AnyNode } from "../../src/node/node.ts";
import { realWorld } from "../../src/node/runtime/world.ts";
import { until } from "./until.ts";

setDefaultTimeout(30_000);

/** A chain of three nodes of a mesh: each follows the one before it, and has a clock of its own. */
async function chain(clocks: readonly (() => number)[]): Promise<AsyncDisposable & { nodes: Node[] }> {
  const nodes: Node[] = [];
  for (const [i, wallMs] of clocks.entries()) {
    const before = nodes.at(-1);
    const options = { mesh: true, shape: [8], listen: 0, ...(before && { server: before.addresses[0]! }) };
    nodes.push(await AnyNode.start(`n${i}`, { ...options, onError: () => {} }, { ...realWorld, wallMs }));
  }
  await Promise.all(nodes.map(({ ready }) => ready));
  return {
    nodes,
    [Symbol.asyncDispose]: async () => void (await Promise.all(nodes.map((node) => node.close()))),
  };
}

test("a peer whose clock is just believed does not take what others write out of anybody's sight", async () => {
  const ahead = () => Date.now() + aheadMsMax - 200;
  await using all = await chain([ahead, Date.now, () => Date.now() - 500]);
  const [a, b, c] = all.nodes as [Node, Node, Node];
  for (let i = 1; i <= 20; i++) {
    a.write((m) => m.set(0, i));
    await until(() => b.ndarray().get(0) === i, "what is ahead, where it is believed");
    b.write((m) => m.set(1, i));
    await until(() => c.ndarray().get(1) === i, "what is not ahead");
  }
  expect(c.ndarray().get(0)).toBe(0);
});

test("an element at the edge of what is believed is overwritten as often as one likes, and all end with the last", async () => {
  let ms = Date.now();
  await using all = await chain([() => ms + aheadMsMax, () => ms, () => ms + 1]);
  const [a, b, c] = all.nodes as [Node, Node, Node];
  a.write((m) => m.set(0, 1));
  await until(() => b.ndarray().get(0) === 1, "the first");
  for (let i = 2; i < 100; i++) {
    b.write((m) => m.set(0, i));
    await until(() => c.ndarray().get(0) === i, `write ${i}`);
  }
  ms += 5;
  b.write((m) => m.set(0, 100));
  await until(() => c.ndarray().get(0) === 100, "the last");
});
