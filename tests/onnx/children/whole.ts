/**
 * Runs ONNX Runtime on weights that another process commits as fast as it can, and says how many runs saw more than one version.
 * Arguments: how (run, runLive, or bare: the live memory without a look), kind of node (follow, attach), its address or name, runs at least.
 */
import { InferenceSession, Tensor } from "onnxruntime-node";
import { attach, start } from "../../../src/index.ts";
import { WeightInputs, writeModel } from "../../../src/onnx/index.ts";

const [how = "", kind = "", where = "", runs = "0"] = process.argv.slice(2);

const names = ["w0", "w1", "w2", "w3"];
const extremes = ["ReduceMin", "ReduceMax"];
const model = writeModel({
  name: "extremes",
  inputs: names.map((name) => ({ name, dtype: "f32", shape: [256, 1024] })),
  outputs: extremes.flatMap((op) =>
    names.map((name) => ({ name: `${op}_${name}`, dtype: "f32", shape: [] })),
  ),
  operators: extremes.flatMap((op) =>
    names.map((name) => ({
      op,
      inputs: [name],
      outputs: [`${op}_${name}`],
      attributes: { keepdims: { int: 0 } },
    })),
  ),
});

await using node = kind === "attach" ? await attach(where) : await start("whole", { server: where });
await node.ready;
const session = await InferenceSession.create(model, { intraOpNumThreads: 1 });
const inputs = new WeightInputs(node, names, Tensor);

async function once(): Promise<{ version: number; meta: unknown; result: Record<string, Tensor> }> {
  if (how === "run") return await inputs.run((feeds) => session.run(feeds));
  if (how === "runLive") return await inputs.runLive((feeds) => session.run(feeds));
  const feeds = Object.fromEntries(
    names.map((name) => [name, new Tensor("float32", node.ndarray(name).data as Float32Array, [256, 1024])]),
  );
  return { version: 0, meta: undefined, result: await session.run(feeds) };
}

let torn = 0;
let mislabelled = 0;
const versions = new Set<number>();
const patienceMs = 20_000; // a writer on a busy machine may need some time for as many versions
const end = performance.now() + patienceMs;
for (let i = 0; i < Number(runs) || (versions.size <= 5 && performance.now() < end); i++) {
  const { meta, result } = await once();
  const seen = new Set(Object.values(result).map(({ data }) => Number(data[0])));
  if (seen.size > 1) torn++;
  else if (how !== "bare" && !seen.has((meta as { value: number }).value)) mislabelled++;
  for (const version of seen) versions.add(version);
}
console.log(JSON.stringify({ torn, mislabelled, versions: versions.size }));
