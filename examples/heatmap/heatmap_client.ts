/** Follows heatmap_server.ts and shows the heat map in colour. */
import { start } from "../../src/index.ts";
import { digests } from "../digests.ts";
import { follow } from "../follow.ts";
import { commandLine, flag, number, text } from "../options.ts";
import { program } from "../program.ts";
import { heatView } from "./heat_view.ts";

const options = commandLine({
  command: "bun examples/heatmap/heatmap_client.ts",
  about: "Shows the heat map of a heat map server, as large as the terminal has room for.",
  flags: {
    server: text("127.0.0.1:7050", "the heat map server to follow", "ADDRESS"),
    size: number(0, "rows and columns that the server must have; 0 takes any", "N"),
    checkHash: flag("verifies every update by a hash, and repairs what differs"),
    json: flag("prints a JSON line for each frame"),
  },
  examples: [
    "bun examples/heatmap/heatmap_client.ts",
    "bun examples/heatmap/heatmap_client.ts --json | jq .meta.phase",
  ],
});

await program(options, async (self) => {
  const { server, size, checkHash } = options;
  self.waitsFor(server);
  const shape = size > 0 && { shape: [size, size], dtype: "f32" as const };
  await using node = await start("heatmap_client", { server, checkHash, ...shape });
  const view = heatView(node, self.ink);
  await follow(self, node, server, {
    show: (title) => self.show(view(title)),
    holds: () => ({ digests: digests(node) }),
  });
});
