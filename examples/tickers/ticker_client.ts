/** Follows ticker_server.ts and shows the rolling mean of every ticker over the valid part of the window. */
import { start } from "../../src/index.ts";
import { digests } from "../digests.ts";
import { Links } from "../links.ts";
import { commandLine, flag, text } from "../options.ts";
import { caughtUp, program } from "../program.ts";
import { means, tickerView } from "./ticker_view.ts";

const options = commandLine({
  command: "bun examples/tickers/ticker_client.ts",
  about: "Follows a ticker server; shows last price and rolling mean of every ticker.",
  flags: {
    server: text("127.0.0.1:7011", "the ticker server to follow", "ADDRESS"),
    checkHash: flag("verifies every update by a hash, and repairs what differs"),
    json: flag("prints a JSON line for each version"),
  },
  examples: [
    "bun examples/tickers/ticker_client.ts",
    "bun examples/tickers/ticker_client.ts --server 10.0.0.5:7011 --json",
  ],
});

await program(options, async (self) => {
  const { server, checkHash } = options;
  self.waitsFor(server);
  await using node = await start("ticker_client", { server, checkHash });
  const view = tickerView(node, self.ink, () => `follows ${server}, ${links.state}`);
  const show = () => self.show(view);
  const links = new Links(node, show);
  node.onUpdate(show);

  self.reports(async (goal) => {
    await caughtUp(goal, server, () => node.version[server] ?? 0);
    return {
      versions: { [server]: node.version[server] ?? 0 },
      digests: digests(node, "symbols"),
      values: means(node),
      problems: links.problems,
    };
  });
  await node.ready;
  self.ready([], () => 0);
  show();
  await self.stopped;
});
