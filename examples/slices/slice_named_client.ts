/** Follows some rows of slice_server.ts, each as an array with a name: `ticker_2`, `ticker_50`, `ticker_75`. */
import { start } from "../../src/index.ts";
import { follow } from "../follow.ts";
import { commandLine } from "../options.ts";
import { program } from "../program.ts";
import { chosenTickers, sliceFlags } from "./slice_options.ts";
import { holdings, sliceView, type ReadSlices } from "./slice_view.ts";

const options = commandLine({
  command: "bun examples/slices/slice_named_client.ts",
  about: "Follows some rows of a slice server. Each becomes an array of its own, by name.",
  flags: sliceFlags,
  examples: [
    "bun examples/slices/slice_named_client.ts",
    "bun examples/slices/slice_named_client.ts --tickers 2,3 --window 3",
  ],
});

await program(options, async (self) => {
  const { server, window } = options;
  const tickers = chosenTickers(options.tickers);
  self.waitsFor(server);
  await using node = await start("slice_named_client", {
    server,
    maps: tickers.map((ticker) => [[ticker, 0], [1, window], null, `ticker_${ticker}`]),
  });
  const rows: ReadSlices = (_, version) =>
    tickers.map((ticker) => ({ ticker, prices: version.array(`ticker_${ticker}`).data as Float64Array }));
  const view = sliceView(node, self.ink, rows);
  await follow(self, node, server, {
    show: (title) => self.show(view(title)),
    holds: () => holdings(node, rows),
  });
});
