// One of many writers: commits as fast as it may for a while, and says how often it did and how long it had to wait.
import { start } from "../../../src/index.ts";

const [name, index, ms] = process.argv.slice(2) as [string, string, string];
const node = await start(name, {
  share: true,
  writers: "many",
  ifExists: "attach",
  persist: true,
  lockTimeoutMs: 20_000,
  shape: [64],
});
console.log("ready");
for await (const line of console) if (line === "go") break;
let commits = 0;
let worstMs = 0;
for (const end = performance.now() + Number(ms); performance.now() < end;) {
  const asked = performance.now();
  node.write((cells) => {
    worstMs = Math.max(worstMs, performance.now() - asked);
    cells.set(0, (cells.get(0) as number) + 1);
    cells.set(1 + Number(index), (cells.get(1 + Number(index)) as number) + 1);
  });
  commits++;
}
console.log(JSON.stringify({ commits, worstMs }));
await node.close();
process.exit(0);
