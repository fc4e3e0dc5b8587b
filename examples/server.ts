/** Serves a 10x10 array in which a few random cells change each second. */
import { start } from "../src/index.ts";
import { grid } from "./grid.ts";
import { digests } from "./digests.ts";
import { commandLine, flag, number, text } from "./options.ts";
import { program } from "./program.ts";
import { seeded } from "./random.ts";

const options = commandLine({
  command: "bun examples/server.ts",
  about: "Serves a 10x10 array of f64 in which a few random cells change each second.",
  flags: {
    listen: text("127.0.0.1:7010", "where to listen", "ADDRESS"),
    every: number(1000, "milliseconds between changes", "MS", { min: 1 }),
    seed: number(1, "seed of the random changes", "N"),
    json: flag("prints a JSON line for each version"),
  },
  examples: ["bun examples/server.ts", "bun examples/server.ts --listen 0.0.0.0:7010 --every 100"],
});

await program(options, async (self) => {
  await using node = await start("server", { listen: options.listen, shape: [10, 10] });
  const random = seeded(options.seed);
  const below = (limit: number) => Math.floor(random() * limit);
  const view = grid(node, self.ink, () => `listens on ${node.addresses.join(", ")}`);

  self.every(options.every, () => {
    const cells = 1 + below(4);
    node.write((a, tx) => {
      for (let i = 0; i < cells; i++) a.set(below(10), below(10), Math.round(random() * 10_000) / 100);
      tx.meta = { time: new Date().toISOString(), cells };
    });
    self.show(view);
  });
  self.reports(() => ({
    versions: {},
    digests: digests(node),
    values: {},
    problems: [],
  }));
  self.ready(node.addresses, () => node.version["server"] ?? 0);
  self.show(view);
  await self.stopped;
});
