// Commits without a pause: every cell, and the metadata, are the number of the commit.
import { start } from "../../../src/index.ts";

const node = await start(process.argv[2]!, { shape: [20_000, 2], share: true });
for (let version = 1; ; version++) {
  node.write((a, tx) => {
    a.fill(version);
    tx.meta = version;
  });
  if (version === 1) console.log("ready");
}
