import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { start } from "../../src/index.ts";
import { unreadMax } from "../../src/protocol/window.ts";

setDefaultTimeout(60_000);

test.each(["127.0.0.1:0", "ws://127.0.0.1:0"])(
  "a follower that stood still gets the newest state, not all that the network could hold (%s)",
  async (listen) => {
    await using server = await start("server", { listen, shape: [64] });
    const child = Bun.spawn(["bun", join(import.meta.dir, "children/stalls.ts"), server.addresses[0]!], {
      stdout: "pipe",
      stderr: "inherit",
      timeout: 50_000,
    });
    let commits = 0;
    const ticking = setInterval(
      () =>
        server.write((a, tx) => {
          a.set(0, ++commits);
          tx.meta = { at: Date.now() };
        }),
      1,
    );
    const said = await new Response(child.stdout).text();
    clearInterval(ticking);
    const { old } = JSON.parse(said) as { old: number };
    expect(commits).toBeGreaterThan(4 * unreadMax);
    expect(old).toBeLessThanOrEqual(unreadMax);
  },
);
