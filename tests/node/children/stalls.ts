// Follows, stands still for a while in the midst of it, and says how many of the states that it then got were old.
import { start } from "../../../src/index.ts";

const [address, stallMs = "1500"] = process.argv.slice(2);
let updates = 0;
let stalledUntil = 0;
let old = 0;
const ageOf = (meta: unknown) => Date.now() - (meta as { at: number }).at;

const node = await start("stalls", { server: address! });
node.onUpdate((update) => {
  if (++updates === 20) {
    Bun.sleepSync(Number(stallMs));
    stalledUntil = Date.now();
  } else if (stalledUntil > 0) {
    if ((update.meta as { at: number }).at < stalledUntil - 100) old++;
    if (ageOf(update.meta) < 50 && Date.now() > stalledUntil + 500) {
      console.log(JSON.stringify({ old, updates }));
      process.exit();
    }
  }
});
