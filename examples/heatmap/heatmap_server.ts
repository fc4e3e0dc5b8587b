/** Serves a heat map of sine waves that wander: a 128x128 array of f32, ten frames a second. */
import { start, type NdArray, type Transaction } from "../../src/index.ts";
import { digests } from "../digests.ts";
import { commandLine, flag, number, text } from "../options.ts";
import { program } from "../program.ts";
import { heatView, type HeatMeta } from "./heat_view.ts";

const options = commandLine({
  command: "bun examples/heatmap/heatmap_server.ts",
  about: "Serves sine waves from -1 to 1 in an f32 array; in every frame all of it is new.",
  flags: {
    listen: text("127.0.0.1:7050", "where to listen", "ADDRESS"),
    size: number(128, "rows and columns", "N", { min: 2, max: 4096 }),
    every: number(100, "milliseconds between frames", "MS", { min: 1 }),
    json: flag("prints a JSON line for each frame"),
  },
  examples: [
    "bun examples/heatmap/heatmap_server.ts",
    "bun examples/heatmap/heatmap_server.ts --size 512 --every 33",
  ],
});

/** sin(x + phase) * cos(y + phase), two waves across and two down. */
function paintWaves(a: NdArray, phase: number): void {
  const { size } = options;
  const angles = Float64Array.from({ length: size }, (_, i) => (i / (size - 1)) * 4 * Math.PI + phase);
  const across = angles.map(Math.sin);
  const heat = a.data as Float32Array;
  angles.map(Math.cos).forEach((down, row) => {
    for (let column = 0; column < size; column++) heat[row * size + column] = across[column]! * down;
  });
}

await program(options, async (self) => {
  const { listen, size } = options;
  await using node = await start("heatmap_server", { listen, shape: [size, size], dtype: "f32" });
  let frame = 0;
  const paintFrame = (a: NdArray, tx: Transaction) => {
    const phase = frame / 10;
    paintWaves(a, phase);
    tx.meta = { frame: frame++, phase } satisfies HeatMeta;
  };
  node.write(paintFrame);

  const view = heatView(node, self.ink);
  const show = () => self.show(view(`listens on ${node.addresses.join(", ")}`));
  self.every(options.every, () => {
    node.write(paintFrame);
    show();
  });
  self.reports(() => ({ versions: {}, digests: digests(node), values: {}, problems: [] }));
  self.ready(node.addresses, () => node.version["heatmap_server"] ?? 0);
  show();
  await self.stopped;
});
