// Does with one node what it is told, a line at a time, and answers with a line of JSON: { value } or { code, message }.
import { readdirSync } from "node:fs";
import { attach, MemblastError, start, type Node } from "../../../src/index.ts";

let node: Node | null = null;
let name = "";

function living(): Node {
  if (!node) throw new Error("no node");
  return node;
}

const actions: Record<string, (...args: string[]) => unknown> = {
  async start(given, cells = "512", ...more) {
    name = given!;
    node = await start(given!, {
      share: true,
      shape: [Number(cells)],
      ...JSON.parse(more.join(" ") || "{}"),
    });
    return node.stats().incarnation;
  },
  async attach(given, mode = "r") {
    name = given!;
    node = await attach(given!, { mode: mode as "r" | "rw" });
    return node.stats().incarnation;
  },
  /** Fills the array; the value is the version. */
  write: (value) => living().write((cells) => cells.fill(Number(value))),
  /** Other values everywhere, by a seed. */
  scatter: (seed) =>
    living().write((cells) => {
      for (let i = 0, x = Number(seed); i < cells.size; i++) cells.set(i, (x = (x * 48_271) % 2_147_483_647));
    }),
  verify: () => living().verify(),
  /** Stays inside of a write that long. */
  hold: (milliseconds) =>
    living().write((cells) => {
      cells.fill(-1);
      console.log('{"value":"holds"}');
      Bun.sleepSync(Number(milliseconds));
    }),
  /** The only value in the array, or all of them. */
  read: () =>
    living().read((cells) => {
      const values = new Set(cells.toArray() as number[]);
      return values.size === 1 ? [...values][0] : [...values];
    }),
  version: () => living().version[living().name],
  async close() {
    await node?.close();
    node = null;
  },
  /** Attaches the same segment again and closes that, many times. */
  async cycle(times) {
    for (let i = 0; i < Number(times); i++) await (await attach(name)).close();
  },
  /** A program that outlives this one. */
  heir() {
    return Bun.spawn(["sleep", "30"], { stdin: "ignore", stdout: "ignore", stderr: "ignore" }).pid;
  },
  descriptors: () => readdirSync("/proc/self/fd").length,
};

async function perform(line: string): Promise<unknown> {
  const [action, ...args] = line.split(" ");
  try {
    return { value: await actions[action!]!(...args) };
  } catch (error) {
    const { code = "unnamed", message } = error as MemblastError;
    return { code: error instanceof MemblastError ? code : `unnamed ${code}`, message };
  }
}

console.log('{"value":"ready"}');
for await (const line of console) {
  if (!line) break; // the end of the input
  console.log(JSON.stringify(await perform(line)));
}
await (node as Node | null)?.close();
