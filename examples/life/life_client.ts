/** Follows life_server.ts: the whole world, or a region of it, of which nothing else crosses the network. */
import { start } from "../../src/index.ts";
import { digests } from "../digests.ts";
import { follow } from "../follow.ts";
import { commandLine, flag, number, numbers, text } from "../options.ts";
import { program } from "../program.ts";
import { lifeView, tileDigests } from "./life_view.ts";

const options = commandLine({
  command: "bun examples/life/life_client.ts",
  about: "Shows the Game of Life of a life server: all of it, or a region.",
  flags: {
    server: text("127.0.0.1:7030", "the life server to follow", "ADDRESS"),
    region: numbers("first row, first column, height and width of the part to follow", "R,C,H,W"),
    width: number(0, "the width that the world must have; 0 takes any", "N"),
    checkHash: flag("verifies every update by a hash, and repairs what differs"),
    json: flag("prints a JSON line for each generation"),
  },
  examples: [
    "bun examples/life/life_client.ts",
    "bun examples/life/life_client.ts --region 64,64,32,64",
    "bun examples/life/life_client.ts --region 0,0,8,8 --json | jq -r '.rows[]'",
  ],
});

await program(options, async (self) => {
  const { server, width, checkHash } = options;
  const [top = 0, left = 0, ...shape] = options.region ?? [];
  const all = width > 0 ? { shape: [width, width], dtype: "bool" as const } : {};
  const part = { shape, dtype: "bool" as const, maps: [[[top, left], shape, null, null]] };
  self.waitsFor(server);
  await using node = await start("life_client", { server, checkHash, ...(options.region ? part : all) });
  const view = lifeView(node, self.ink);
  await follow(self, node, server, {
    show: (title) => self.show(view(title)),
    holds: () => ({ digests: { ...(options.region ? {} : digests(node)), ...tileDigests(node, top, left) } }),
  });
});
