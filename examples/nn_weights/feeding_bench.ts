/** Which is cheaper: to copy each version of the weights before it runs, or to run on the live memory and again if a version came in? */
import { start } from "../../src/index.ts";
import { WeightInputs, writeModel } from "../../src/onnx/index.ts";
import { commandLine, number } from "../options.ts";
import { optional } from "../optional.ts";
import { decimal, paint, table, wantsColour } from "../terminal.ts";
import { feedings, type Feeding } from "./classifier.ts";

const options = commandLine({
  command: "bun examples/nn_weights/feeding_bench.ts",
  about:
    "Runs a layer of a network again and again while versions of its weights come in: with a copy of each version, and on live memory.",
  flags: { seconds: number(1, "how long each line runs", "S", { min: 0.01, max: 600, whole: false }) },
  examples: ["bun examples/nn_weights/feeding_bench.ts --seconds 5"],
});

/** Square layers of f32: their width, rows run at one time, milliseconds between versions. */
const cases = [
  { width: 160, rows: 1, every: 100 },
  { width: 160, rows: 1, every: 10 },
  { width: 160, rows: 2000, every: 100 },
  { width: 160, rows: 2000, every: 10 },
  { width: 4096, rows: 1, every: 1000 },
  { width: 4096, rows: 1, every: 100 },
  { width: 4096, rows: 64, every: 1000 },
  { width: 4096, rows: 64, every: 100 },
] as const;

type Case = (typeof cases)[number];

const { InferenceSession, Tensor } = await optional("onnxruntime-node", () => import("onnxruntime-node"));

/** Milliseconds for a run that is valid, and how often the session ran for one. */
async function measure({ width, rows, every }: Case, feeding: Feeding) {
  const model = writeModel({
    name: "layer",
    inputs: [
      { name: "x", dtype: "f32", shape: [rows, width] },
      { name: "w", dtype: "f32", shape: [width, width] },
    ],
    outputs: [{ name: "y", dtype: "f32", shape: [rows, width] }],
    operators: [{ op: "MatMul", inputs: ["x", "w"], outputs: ["y"] }],
  });
  const session = await InferenceSession.create(model, { intraOpNumThreads: 1 });
  await using node = await start("feeding", { arrays: { w: { shape: [width, width], dtype: "f32" } } });
  let version = 0;
  const commit = () => node.write((_, tx) => tx.array("w").set(version++ % width, 0, version));
  commit();
  const inputs = new WeightInputs(node, ["w"], Tensor);
  const x = new Tensor("float32", new Float32Array(rows * width), [rows, width]);
  let calls = 0;
  const run = (feeds: Parameters<typeof session.run>[0]) => {
    calls++;
    return session.run({ ...feeds, x });
  };
  const once = feeding === "live" ? () => inputs.runLive(run) : () => inputs.run(run);
  await once();

  calls = 0;
  let runs = 0;
  const timer = setInterval(commit, every);
  const begin = performance.now();
  for (; performance.now() - begin < options.seconds * 1000; runs++) await once();
  const passed = performance.now() - begin;
  clearInterval(timer);
  return { milliseconds: passed / runs, calls: calls / runs };
}

const lines: string[][] = [];
for (const one of cases) {
  const [copy, live] = [await measure(one, feedings[0]), await measure(one, feedings[1])];
  lines.push([
    `${decimal((4 * one.width ** 2) / 2 ** 20, 1)} MiB`,
    `${one.rows}`,
    `${one.every} ms`,
    `${decimal(copy.milliseconds, 3)} ms`,
    `${decimal(live.milliseconds, 3)} ms`,
    decimal(live.calls, 2),
    `${decimal(live.milliseconds / copy.milliseconds)}x`,
  ]);
}
const titles = ["weights", "rows", "a version each", "run, copied", "run, live", "tries", "live / copied"];
const ink = paint(wantsColour(process.stdout.isTTY, process.env));
for (const line of table(
  titles.map((title) => ({ title })),
  lines,
  ink,
))
  console.log(line);
process.exit();
