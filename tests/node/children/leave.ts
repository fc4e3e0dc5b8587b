// Writes, listens, and leaves at once without closing anything. Arguments: the segment's name.
import { start } from "../../../src/index.ts";

const node = await start(process.argv[2]!, { shape: [64], share: true, writers: "many" });
node.onUpdate(() => {});
await Bun.sleep(10);
node.write((a) => a.set(1, 1));
process.exit(0);
