/** What every program with a page does: it follows a node, serves the page, and lets the page follow itself. */
import { connect } from "../../src/browser/index.ts";
import { start } from "../../src/index.ts";
import { sha256 } from "../digests.ts";
import { Links } from "../links.ts";
import { flag, number, text } from "../options.ts";
import { caughtUp, type Program } from "../program.ts";
import { servePage } from "./serve.ts";

export const pageFlags = (server: string, port: number) => ({
  server: text(server, "the node to follow", "ADDRESS"),
  port: number(port, "port of the page", "N", { max: 65_535 }),
  host: text("127.0.0.1", "where the page listens; 0.0.0.0 shows it to the whole network", "HOST"),
  nodePort: number(0, "port of the WebSocket that the page connects to; 0 is any free one", "N", {
    max: 65_535,
  }),
  checkHash: flag("verifies every update by a hash over what was subscribed, and repairs what differs"),
  json: flag("prints a JSON line for each version"),
});

export interface PageProgram {
  readonly server: string;
  readonly port: number;
  readonly host: string;
  readonly nodePort: number;
  readonly checkHash: boolean;
  /** What the node calls itself. */
  readonly name: string;
  /** The page's HTML: an absolute path, or one from this folder. */
  readonly entry: string;
}

/** Resolves when the program is stopped. */
export async function showPage(self: Program, options: PageProgram): Promise<void> {
  const { server, host, name, checkHash } = options;
  self.waitsFor(server);
  await using node = await start(name, {
    server,
    listen: `ws://${host.includes(":") ? `[${host}]` : host}:${options.nodePort}/`,
    // Whoever may see the page may have the values.
    insecure: true,
    checkHash,
    heartbeatMs: 1000,
  });
  let show = () => {}; // there is nothing to show yet
  const links = new Links(node, () => show());
  const seen = () => node.version[server] ?? 0;
  using page = await servePage({
    ...options,
    node: `${new URL(node.addresses[0]!).port}/`,
    status: () => ({ server, connected: links.state === "connected", version: seen(), state: links.state }),
  });
  const viewers = () => node.stats().links.filter(({ direction }) => direction === "in").length;
  const state = () => `follows ${server}, ${links.state}, version ${seen()}`;
  show = () =>
    self.show({
      lines: () => [`page at ${self.ink.bold(page.url)}, seen by ${viewers()}`, state()],
      line: () => `page at ${page.url}, seen by ${viewers()}; ${state()}`,
      json: () => ({ page: page.url, viewers: viewers(), version: node.version }),
    });
  node.onUpdate(() => show());

  // What a page would hold, by the same code.
  self.reports(async (goal) => {
    await caughtUp(goal, server, seen);
    const newest = node.version[name] ?? 0;
    using client = connect(node.addresses[0]!, { checkHash: true });
    await client.ready;
    await caughtUp({ page: newest }, "page", () => client.version);
    const digests = Object.fromEntries(
      client.names.map((array) => [array ?? "main", sha256(client.data(array))]),
    );
    return { versions: { [server]: seen() }, digests, values: {}, problems: links.problems };
  });
  await node.ready;
  self.ready([], () => 0);
  show();
  await self.stopped;
}
