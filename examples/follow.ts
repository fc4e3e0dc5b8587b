/** What every client does once its node is there. */
import type { Node } from "../src/index.ts";
import { Links } from "./links.ts";
import { caughtUp, type Program } from "./program.ts";
import type { Report } from "./report.ts";

/** Digests and computed values that the runner compares with those of the other programs. */
export type Holdings = Partial<Pick<Report, "digests" | "values">>;

export interface Client {
  /** Shows the node: at the start, after each version, and when the link comes or goes. */
  show(title: string): void;
  holds(): Holdings | Promise<Holdings>;
}

/** Waits for the first state, then shows what comes and answers the runner, until the program is stopped. */
export async function follow(self: Program, node: Node, server: string, client: Client): Promise<void> {
  let isReady = false;
  const changed = () => isReady && client.show(`follows ${server}, ${links.state}`);
  const links = new Links(node, changed);
  const version = () => node.version[server] ?? 0;
  self.reports(async (goal) => {
    await caughtUp(goal, server, version);
    const held = { digests: {}, values: {}, ...(await client.holds()) };
    return { versions: { [server]: version() }, problems: links.problems, ...held };
  });
  await node.ready;
  isReady = true;
  self.ready([], () => 0);
  changed();
  const unlisten = node.onUpdate(changed);
  try {
    await self.stopped;
  } finally {
    unlisten();
    isReady = false; // the links that go from now on are those of a node that closes
  }
}
