// Attaches, stores into every typed array that it is given for reading, and says what it sees then and after the next update.
import { attach } from "../../../src/index.ts";

const [name, mode] = process.argv.slice(2) as [string, "r" | "rw"];
await using local = await attach(name, { mode });
const updates = local.updates();
const live = local.ndarray();
const raw = live.data as Uint8Array;
const seen = () => ({ raw: [raw[0], raw[1], raw[8192]], cells: [live.get(0), live.get(1), live.get(8192)] });
console.log(JSON.stringify(seen()));
raw[0] = 99;
(live.slice([5], [10]).data as Uint8Array).fill(99);
(local.ndarray("other").data as Float32Array).fill(99);
console.log(JSON.stringify({ ...seen(), kept: live.data === raw, slice: live.slice([5], [1]).data[0] }));
await updates.next();
console.log(JSON.stringify(seen()));
await updates.return!();
