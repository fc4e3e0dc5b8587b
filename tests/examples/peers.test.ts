import { expect, setDefaultTimeout, test } from "bun:test";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parsePeers, peerNames, quadrant } from "../../examples/peers.ts";

setDefaultTimeout(30_000);

test("the quadrants cover the array, and do not overlap", () => {
  const cells = new Set<string>();
  for (const name of peerNames) {
    const { start, shape } = quadrant(name, 6);
    for (let r = 0; r < shape[0]; r++)
      for (let c = 0; c < shape[1]; c++) cells.add(`${start[0] + r},${start[1] + c}`);
  }
  expect(cells.size).toBe(36);
});

test("a list without one of the four says which", () => {
  expect(() => parsePeers("a=1,b=2,d=unix:/x=y")).toThrow("an address for c");
  expect(parsePeers("a=1,b=2,c=3,d=unix:/x=y").d).toBe("unix:/x=y");
});

test("four processes that write at once end with the same bytes", async () => {
  const file = join(tmpdir(), `memblast-peers-${process.pid}.json`);
  const run = Bun.spawn(
    ["bun", "examples/run.ts", "peer_split", "peer_stress", "peer_mesh", "--seconds", "1", "--json", file],
    { cwd: join(import.meta.dir, "../.."), stdout: "ignore", stderr: "inherit" },
  );
  expect(await run.exited).toBe(0);
  const results = (await Bun.file(file).json()) as { name: string; passed: boolean; figure: string }[];
  expect(results.map(({ name, passed }) => [name, passed])).toEqual([
    ["peer_split", true],
    ["peer_stress", true],
    ["peer_mesh", true],
  ]);
  for (const { figure } of results) expect(figure).toContain("bit-equal in 4 programs");
  await Bun.file(file).delete();
}, 60_000);
