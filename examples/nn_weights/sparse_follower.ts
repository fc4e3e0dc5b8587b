/** The other end of sparse_bench.ts: follows its array and tells, through shared memory, which version it has. */
import { start } from "../../src/index.ts";
import { digests } from "../digests.ts";
import { follow } from "../follow.ts";
import { commandLine, text } from "../options.ts";
import { program } from "../program.ts";

/** Name of the segment in which the follower of the bench at `address` tells its version. */
export function arrivalsName(address: string): string {
  return `sparse-arrivals-${address.split(":").at(-1)}`;
}

if (import.meta.main) {
  const options = commandLine({
    command: "bun examples/nn_weights/sparse_follower.ts",
    about: "Follows sparse_bench.ts --wait. Without --wait the bench starts it by itself.",
    flags: { server: text("127.0.0.1:7041", "the bench to follow", "ADDRESS") },
    examples: ["bun examples/nn_weights/sparse_follower.ts"],
  });

  await program({}, async (self) => {
    const { server } = options;
    self.waitsFor(server);
    await using node = await start("sparse_follower", { server });
    await node.ready;
    await using arrivals = await start(arrivalsName(server), { shape: [1], share: true });
    const tell = () => arrivals.write((a) => a.set(0, node.version[server] ?? 0));
    node.onUpdate(tell);
    tell();
    await follow(self, node, server, {
      show: (title) => self.show({ lines: () => [line(title)], line: () => line(title) }),
      holds: () => ({ digests: digests(node) }),
    });
    function line(title: string): string {
      return `version ${node.version[server]}; ${title}`;
    }
  });
}
