/** Serves Conway's Game of Life: a world of 256x256 cells, a generation every half second. */
import { start } from "../../src/index.ts";
import { digests } from "../digests.ts";
import { commandLine, flag, number, text } from "../options.ts";
import { program } from "../program.ts";
import { seeded } from "../random.ts";
import { lifeView, tileDigests, type LifeMeta } from "./life_view.ts";
import { nextGeneration, randomWorld } from "./world.ts";

const options = commandLine({
  command: "bun examples/life/life_server.ts",
  about:
    "Serves Conway's Game of Life, a bool array; what leaves it at one edge comes in at the opposite one.",
  flags: {
    listen: text("127.0.0.1:7030", "where to listen", "ADDRESS"),
    width: number(256, "the world is so many cells wide and high", "N", { min: 1, max: 10_000 }),
    every: number(500, "milliseconds between generations", "MS", { min: 1 }),
    alive: number(30, "percent of the cells that live at the start", "N", { max: 100 }),
    seed: number(1, "seed of the first generation", "N"),
    json: flag("prints a JSON line for each generation"),
  },
  examples: [
    "bun examples/life/life_server.ts",
    "bun examples/life/life_server.ts --width 64 --every 50 --seed 7",
  ],
});

await program(options, async (self) => {
  const { listen, width, every, alive, seed } = options;
  await using node = await start("life_server", { listen, shape: [width, width], dtype: "bool" });
  node.write((world, tx) => {
    world.assign(randomWorld(width, width, alive / 100, seeded(seed)));
    tx.meta = { generation: 0 } satisfies LifeMeta;
  });

  const view = lifeView(node, self.ink);
  const show = () => self.show(view(`listens on ${node.addresses.join(", ")}`));
  self.every(every, () => {
    node.write((world, tx) => {
      world.assign(nextGeneration(world.data as Uint8Array, width, width));
      tx.meta = { generation: (tx.meta as LifeMeta).generation + 1 } satisfies LifeMeta;
    });
    show();
  });
  self.reports(() => ({
    versions: {},
    digests: { ...digests(node), ...tileDigests(node) },
    values: {},
    problems: [],
  }));
  self.ready(node.addresses, () => node.version["life_server"] ?? 0);
  show();
  await self.stopped;
});
