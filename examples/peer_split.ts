/** One of four peers; each owns a quadrant of a square array, changes it now and then, and shows all four. */
import { start } from "../src/index.ts";
import { grid } from "./grid.ts";
import { choice, commandLine, flag, number, text } from "./options.ts";
import { defaultPeers, parsePeers, peerNames, peerOptions, quadrant, reportWhenSettled } from "./peers.ts";
import { program } from "./program.ts";
import { seeded } from "./random.ts";

const options = commandLine({
  command: "bun examples/peer_split.ts",
  about: "One of four peers a to d. Each owns a quadrant of one array and follows the other three.",
  flags: {
    name: choice(peerNames, "who this peer is"),
    peers: text(defaultPeers, "where all four listen", "LIST"),
    size: number(8, "rows and columns of the array; even", "N", { min: 2, max: 64 }),
    every: number(500, "milliseconds between changes", "MS", { min: 1 }),
    json: flag("prints a JSON line for each version"),
  },
  examples: [
    "for name in a b c d; do bun examples/peer_split.ts --name $name --json > $name.log & done",
    "bun examples/peer_split.ts --name b --every 100",
  ],
});

await program(options, async (self) => {
  const { name, size } = options;
  if (size % 2) throw new Error(`--size must be even, to have quadrants: ${size}`);
  await using node = await start(name, peerOptions(name, parsePeers(options.peers), size));
  const own = quadrant(name, size);
  const random = seeded(peerNames.indexOf(name) + 1);
  const below = (limit: number) => Math.floor(random() * limit);
  const view = grid(
    node,
    self.ink,
    () => `peer ${name} owns ${own.shape.join("x")} from ${own.start.join(",")}`,
  );
  node.onUpdate(() => self.show(view));

  self.every(options.every, () => {
    node.write((a) => {
      a.slice(own.start, own.shape).set(below(size / 2), below(size / 2), below(10_000) / 100);
    });
    self.show(view);
  });
  reportWhenSettled(self, node, () => ({}));
  self.ready(node.addresses, () => node.version[name] ?? 0);
  self.show(view);
  await self.stopped;
});
