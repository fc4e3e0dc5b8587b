// Writes and reads a segment until the file is cut short under it, and says what both sides were told. Has to live through it.
import { attach, MemblastError, start } from "../../../src/index.ts";
import { Census } from "./census.ts";

const cells = 16_384;
const patienceMs = 20_000;

/** The code of the error that `action` throws, or null. */
function codeOf(action: () => unknown): string | null {
  try {
    action();
    return null;
  } catch (error) {
    return error instanceof MemblastError ? error.code : String(error);
  }
}

async function live(name: string, watches: boolean): Promise<string> {
  const writer = await start(name, { share: true, shape: [cells] });
  const reader = await attach(name);
  const view = reader.ndarray();
  if (watches) reader.onUpdate(() => {});
  console.log("ready");
  let [wrote, read]: (string | null)[] = [null, null];
  const end = performance.now() + patienceMs;
  for (let i = 1; !(wrote && read) && performance.now() < end; i++) {
    wrote ??= codeOf(() => writer.write((all) => all.fill(i)));
    read ??= codeOf(() => reader.read((all) => all.get(i % cells)));
    codeOf(() => view.get((i * 7919) % cells));
    if (i % 16 === 0) await Bun.sleep(0);
  }
  codeOf(() => view.get(0));
  codeOf(() => reader.version);
  await reader.close();
  await writer.close();
  return `${wrote} ${read}`;
}

const census = new Census();
let rounds = 0;
for await (const line of console) {
  if (!line) break; // the end of the input
  const [name, watches] = line.split(" ");
  let said: string;
  try {
    said = await live(name!, watches === "watch");
  } catch (error) {
    said = String(error);
  }
  if (++rounds === 20) census.mark();
  console.log(said);
}
await Bun.sleep(20);
const grown = census.grown();
if (grown) throw new Error(grown);
process.exit(0);
