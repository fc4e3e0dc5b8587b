// Starts or takes over a node, and on a line of stdin writes two rows and dies at the given step of that.
import { dlopen } from "bun:ffi";
import { start } from "../../../src/index.ts";

const [name, address, step] = process.argv.slice(2) as [string, string, string];
const { symbols } = dlopen(process.env["MEMBLAST_LIBRARY"]!, {
  mb_crash_set: { args: ["u32"], returns: "i64" },
});
await using node = await start(name, { shape: [64, 8], share: true, persist: true, listen: address });
if (node.version[name] === 0) node.write((a) => a.set(63, 0, 1));
console.log(node.version[name]);
for await (const _ of console) break;
symbols.mb_crash_set(Number(step));
node.write((a) => {
  a.set(Number(step), 0, Number(step));
  a.set(Number(step) + 1, 7, Number(step));
});
symbols.mb_crash_set(0);
