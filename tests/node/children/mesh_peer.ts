/** A peer of a mesh in a process of its own: writes until told otherwise, and says what it holds. Argument: JSON of the options. */
import { start, type StartOptions } from "../../../src/index.ts";
import { Random } from "../../sim/random.ts";

const { name, seed, cells, ...options } = JSON.parse(process.argv[2]!) as {
  name: string;
  seed: number;
  cells: number;
} & StartOptions;

// Peers that are killed are part of it.
await using node = await start(name, { ...options, mesh: true, shape: [cells], onError: () => {} });
const random = new Random(seed);
let isWriting = true;

/** Values and stamps. */
function digest(): string {
  const hash = new Bun.CryptoHasher("sha256");
  node.read((a, view) => {
    hash
      .update(a.data)
      .update(view.array("@stamps").data)
      .update(JSON.stringify(view.meta ?? null));
  });
  return hash.digest("hex");
}

process.on("message", (message) => {
  if (message === "quiet") isWriting = false;
  if (message === "digest") process.send!({ digest: digest(), version: node.version[name] });
});
process.send!("ready");
for (let i = 0; ; i++) {
  if (isWriting)
    node.write((a, tx) => {
      for (let k = random.below(5); k >= 0; k--) a.set(random.below(cells), random.next());
      if (random.chance(0.2)) tx.meta = { by: name, i };
    });
  await Bun.sleep(random.below(3));
}
