// Attaches to write; for each number on stdin sets the first cell of that row to it.
import { attach } from "../../../src/index.ts";

await using node = await attach(process.argv[2]!, { mode: "rw" });
console.log("ready");
for await (const line of console) {
  const row = Number(line);
  const version = node.write((a, tx) => {
    a.set(row, 0, row);
    tx.meta = { row };
  });
  await Bun.sleep(0);
  console.log(`version ${version}`);
}
