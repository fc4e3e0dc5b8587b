// What becomes of raw views that are kept beyond their transaction.
import type { TypedArray } from "../../../src/index.ts";
import { start } from "../../../src/index.ts";

await using node = await start("strict", { shape: [4, 8] });
const kept: TypedArray[] = [];
let inside: number[] = [];
node.write((a) => {
  kept.push(a.data, a.row(1).data);
  (kept[0] as Float64Array).fill(5);
  (kept[1] as Float64Array).fill(6);
  inside = kept.map((view) => view.length);
});
const values = node.read((a) => [a.get(0, 0), a.get(1, 7)]);
const afterCommit = kept.map((view) => view.length);
let rolledBack!: TypedArray;
try {
  node.write((a) => {
    rolledBack = a.data;
    (rolledBack as Float64Array).fill(7);
    throw new Error("back");
  });
} catch {}
const afterRollback = rolledBack.length;
node.verify();
(kept[0] as Float64Array)[3] = 99; // behind everybody's back
const damage = node.verify().damage.map((each) => each.part);
(kept[0] as Float64Array)[3] = 5;
let again = 0;
node.write((a) => {
  again = (a.data as Float64Array)[3]!;
});
const sum = node.read((a) => (a.data as Float64Array).reduce((x, y) => x + y));
console.log(JSON.stringify({ inside, afterCommit, afterRollback, values, again, sum, damage }));
