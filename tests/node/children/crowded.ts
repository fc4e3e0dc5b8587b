import { closeSync, openSync } from "node:fs";
import { start } from "../../../src/index.ts";

/** A node that serves with few files to open, and says how it goes; told to on its input. */
const server = await start("crowded", { listen: process.argv.slice(2), shape: [1000], connectionsMax: 2000 });
const events: string[] = [];
server.on("crowded", ({ cause }) => events.push(cause));
server.on("error", ({ code }) => events.push(code));
const eaten: number[] = [];
let used = process.cpuUsage();
let since = performance.now();

function eat(): void {
  try {
    for (;;) eaten.push(openSync("/dev/null", "r"));
  } catch {
    // none left
  }
}

function look(): unknown {
  const { user, system } = process.cpuUsage(used);
  const share = (user + system) / 1000 / (performance.now() - since);
  used = process.cpuUsage();
  since = performance.now();
  const { links, door } = server.stats();
  return { share, links: links.length, refused: door.refused, events: events.splice(0), eaten: eaten.length };
}

console.log(JSON.stringify(server.addresses));
for await (const line of console) {
  if (line === "eat") eat();
  if (line === "free") for (const file of eaten.splice(0)) closeSync(file);
  if (line === "write") server.write((a) => a.set(0, Number(a.get(0)) + 1));
  console.log(JSON.stringify(look()));
}
