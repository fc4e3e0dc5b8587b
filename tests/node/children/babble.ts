// Writes metadata as fast as it can, each of one letter over and over. Argument: the segment's name.
import { attach } from "../../../src/index.ts";

await using node = await attach(process.argv[2]!, { mode: "rw" });
for (let i = 0; ; i++) {
  const letter = "abcdefghij"[i % 10]!;
  node.write((_, tx) => void (tx.meta = { text: letter.repeat(15_000) }));
  if (i === 0) console.log("writes");
  if (i % 100 === 0) await Bun.sleep(0);
}
