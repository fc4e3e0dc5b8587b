/** The four peers of peer_split.ts, each writing its quadrant as fast as it can; in the end all four hold the same bytes. */
import { start } from "../src/index.ts";
import { choice, commandLine, flag, number, text } from "./options.ts";
import { defaultPeers, parsePeers, peerNames, peerOptions, quadrant, reportWhenSettled } from "./peers.ts";
import { program, type View } from "./program.ts";
import { seeded } from "./random.ts";

const options = commandLine({
  command: "bun examples/peer_stress.ts",
  about:
    "One of four peers a to d that write their quadrants as fast as they can, and prove in the end that all are equal.",
  flags: {
    name: choice(peerNames, "who this peer is"),
    peers: text(defaultPeers, "where all four listen", "LIST"),
    size: number(128, "rows and columns of the array; even", "N", { min: 2, max: 4096 }),
    burst: number(1000, "commits between two looks at the network", "N", { min: 1 }),
    json: flag("prints JSON lines"),
  },
  examples: ["for name in a b c d; do bun examples/peer_stress.ts --name $name & done"],
});

await program(options, async (self) => {
  const { name, size, burst } = options;
  if (size % 2) throw new Error(`--size must be even, to have quadrants: ${size}`);
  await using node = await start(name, peerOptions(name, parsePeers(options.peers), size));
  const own = quadrant(name, size);
  const random = seeded(peerNames.indexOf(name) + 1);
  const below = (limit: number) => Math.floor(random() * limit);
  let commits = 0;
  const begun = performance.now();
  const rate = () => Math.round((commits / (performance.now() - begun)) * 1000);
  const versions = () =>
    Object.values(node.version)
      .map((version) => version.toLocaleString("en"))
      .join(" ");
  const view: View = {
    lines: () => [
      `peer ${name}: ${self.ink.bold(commits.toLocaleString("en"))} commits, ${rate().toLocaleString("en")} a second`,
      `versions of all four ${versions()}`,
    ],
    line: () => `${commits} commits, ${rate()} a second; versions ${versions()}`,
    json: () => ({ commits, rate: rate(), version: node.version }),
  };

  self.every(1, () => {
    for (let i = 0; i < burst; i++) {
      const value = ++commits;
      node.write((a) => a.set(own.start[0] + below(size / 2), own.start[1] + below(size / 2), value));
    }
    self.show(view);
  });
  reportWhenSettled(self, node, () => ({}));
  self.ready(node.addresses, () => node.version[name] ?? 0);
  await self.stopped;
});
