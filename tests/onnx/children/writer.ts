/** Commits versions of four arrays of 1 MiB as fast as it can: all elements of a version are one number. Argument: the segment's name. */
import { start } from "../../../src/index.ts";

const names = ["w0", "w1", "w2", "w3"];
const array = { shape: [256, 1024], dtype: "f32" } as const;
await using node = await start(process.argv[2] ?? "", {
  listen: "127.0.0.1:0",
  share: true,
  arrays: Object.fromEntries(names.map((name) => [name, array])),
});
let value = 0;
function commit(): void {
  value++;
  node.write((_, tx) => {
    for (const name of names) tx.array(name).fill(value);
    tx.meta = { value };
  });
}
commit();
console.log(node.addresses[0]);
process.on("SIGTERM", () => process.exit(0));
for (;;) {
  commit();
  await new Promise((resolve) => setImmediate(resolve));
}
