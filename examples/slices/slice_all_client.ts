/** Follows all rows of slice_server.ts. Needs no shape: it takes over what the server has. */
import { start } from "../../src/index.ts";
import { follow } from "../follow.ts";
import { commandLine } from "../options.ts";
import { program } from "../program.ts";
import { sliceFlags } from "./slice_options.ts";
import { overview, wholeHoldings } from "./slice_view.ts";

const { server, json } = sliceFlags;
const options = commandLine({
  command: "bun examples/slices/slice_all_client.ts",
  about: "Follows the whole array of a slice server, whatever its shape.",
  flags: { server, json },
  examples: [
    "bun examples/slices/slice_all_client.ts",
    "bun examples/slices/slice_all_client.ts --json | jq .meta",
  ],
});

await program(options, async (self) => {
  const { server } = options;
  self.waitsFor(server);
  await using node = await start("slice_all_client", { server });
  const view = overview(node, self.ink);
  await follow(self, node, server, {
    show: (title) => self.show(view(title)),
    holds: () => wholeHoldings(node),
  });
});
