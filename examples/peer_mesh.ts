/** One of four peers in a ring that all write the same cells; of each cell the last writer wins, and all four end with the same bytes. */
import { start } from "../src/index.ts";
import { grid } from "./grid.ts";
import { choice, commandLine, flag, number, text } from "./options.ts";
import { defaultPeers, parsePeers, peerNames, reportWhenSettled, ringOptions } from "./peers.ts";
import { program } from "./program.ts";
import { seeded } from "./random.ts";

const options = commandLine({
  command: "bun examples/peer_mesh.ts",
  about: "One of four peers a to d, each of which follows the next one and writes wherever it likes.",
  flags: {
    name: choice(peerNames, "who this peer is"),
    peers: text(defaultPeers, "where all four listen", "LIST"),
    size: number(8, "rows and columns of the array", "N", { min: 2, max: 64 }),
    every: number(500, "milliseconds between changes", "MS", { min: 1 }),
    json: flag("prints a JSON line for each version"),
  },
  examples: ["for name in a b c d; do bun examples/peer_mesh.ts --name $name --json > $name.log & done"],
});

await program(options, async (self) => {
  const { name, size } = options;
  await using node = await start(name, ringOptions(name, parsePeers(options.peers), size));
  const random = seeded(peerNames.indexOf(name) + 1);
  const below = (limit: number) => Math.floor(random() * limit);
  const view = grid(node, self.ink, () => `peer ${name} follows ${node.stats().links.at(-1)!.peer}`);
  node.onUpdate(() => self.show(view));

  self.every(options.every, () => {
    node.write((a, tx) => {
      a.set(below(size), below(size), below(10_000) / 100);
      tx.meta = { by: name };
    });
    self.show(view);
  });
  reportWhenSettled(self, node, () => ({}));
  self.ready(node.addresses, () => node.version[name] ?? 0);
  self.show(view);
  await self.stopped;
});
