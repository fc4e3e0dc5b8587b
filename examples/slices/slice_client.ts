/** Follows some rows of slice_server.ts into an array of its own: row 50 of the server becomes row 1 here. */
import { start } from "../../src/index.ts";
import { follow } from "../follow.ts";
import { commandLine } from "../options.ts";
import { program } from "../program.ts";
import { chosenTickers, sliceFlags } from "./slice_options.ts";
import { holdings, mainRows, sliceView } from "./slice_view.ts";

const options = commandLine({
  command: "bun examples/slices/slice_client.ts",
  about: "Follows some rows of a slice server. Only these cross the network, into one small array.",
  flags: sliceFlags,
  examples: [
    "bun examples/slices/slice_client.ts",
    "bun examples/slices/slice_client.ts --tickers 7,8,9 --json",
  ],
});

await program(options, async (self) => {
  const { server, window } = options;
  const tickers = chosenTickers(options.tickers);
  self.waitsFor(server);
  await using node = await start("slice_client", {
    server,
    shape: [tickers.length, window],
    maps: tickers.map((ticker, row) => [[ticker, 0], [1, window], [row, 0], null]),
  });
  const rows = mainRows(tickers);
  const view = sliceView(node, self.ink, rows);
  await follow(self, node, server, {
    show: (title) => self.show(view(title)),
    holds: () => holdings(node, rows),
  });
});
