// Attaches by name, prints what it sees, and once more after the next update.
import { attach } from "../../../src/index.ts";

await using local = await attach(process.argv[2]!);
const updates = local.updates();
const seen = () => local.read((a, view) => ({ version: view.version, cell: a.get(0, 0), meta: view.meta }));
console.log(JSON.stringify(seen()));
const { value: update } = await updates.next();
const rows = update.regions.filter((region: { array: null }) => region.array === null);
console.log(JSON.stringify({ ...seen(), rows: rows.map((region: { start: number[] }) => region.start[0]) }));
await updates.return!();
