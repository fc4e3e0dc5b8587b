/** Follows the array of server.ts and shows each change, with the version of every peer. */
import { start } from "../src/index.ts";
import { grid } from "./grid.ts";
import { Links } from "./links.ts";
import { digests } from "./digests.ts";
import { commandLine, flag, text } from "./options.ts";
import { caughtUp, program } from "./program.ts";

const options = commandLine({
  command: "bun examples/client.ts",
  about: "Follows the array of examples/server.ts. Needs no shape: it takes over what the server has.",
  flags: {
    server: text("127.0.0.1:7010", "the server to follow", "ADDRESS"),
    checkHash: flag("verifies every update by a hash over what was subscribed, and repairs what differs"),
    json: flag("prints a JSON line for each version"),
  },
  examples: [
    "bun examples/client.ts",
    "bun examples/client.ts --server 10.0.0.5:7010 --check-hash",
    "bun examples/client.ts --json | jq .meta",
  ],
});

await program(options, async (self) => {
  const { server, checkHash } = options;
  self.waitsFor(server);
  await using node = await start("client", { server, checkHash });
  const checks = checkHash ? ", checks hashes" : "";
  const view = grid(node, self.ink, () => `follows ${server}, ${links.state}${checks}`);
  const show = () => self.show(view);
  const links = new Links(node, show);
  node.onUpdate(show);

  self.reports(async (goal) => {
    await caughtUp(goal, server, () => node.version[server] ?? 0);
    return {
      versions: { [server]: node.version[server] ?? 0 },
      digests: digests(node),
      values: {},
      problems: links.problems,
    };
  });
  await node.ready;
  self.ready([], () => 0);
  show();
  await self.stopped;
});
