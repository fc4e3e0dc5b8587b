// Writes without a pause until it is killed: see SumReader in ../sums.ts. Goes on where a dead one left off.
import { start } from "../../../src/index.ts";
import { sumCells } from "../sums.ts";

const name = process.argv[2]!;
const node = await start(name, { share: true, shape: [sumCells], dtype: "f64" });
let sum = node.read((cells) => cells.get(0) as number);
let version = node.version[name]!;

function commit(): void {
  version++;
  node.write((cells) => {
    for (let i = 0; i < 1 + (version % 40); i++) {
      const at = 2 + ((version * 7919 + i * 104_729) % (sumCells - 2));
      sum += version - (cells.get(at) as number);
      cells.set(at, version);
    }
    cells.set(0, sum);
    cells.set(1, version);
  });
}

commit();
console.log("writes");
const parent = process.ppid;
while (process.ppid === parent) {
  for (let i = 0; i < 1000; i++) commit();
  try {
    node.write((cells) => {
      cells.fill(-1);
      throw new RangeError("on purpose");
    });
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  if (process.argv[3] === "yields") await Bun.sleep(0);
}
