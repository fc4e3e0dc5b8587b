/** Trains a small network and serves its weights as they are now: every few batches all of them are one version. */
import { type Node, start } from "../../src/index.ts";
import { assignWeights, modelWithInputs, weightArrays } from "../../src/onnx/index.ts";
import { choice, commandLine, flag, number, optionalText, text } from "../options.ts";
import { program, type Program } from "../program.ts";
import { seeded } from "../random.ts";
import { holdings } from "./holdings.ts";
import { Network, weightNames, weightShapes } from "./network.ts";
import { Course, serverView } from "./nn_view.ts";
import { loadTask, taskNames, type TrainingMeta } from "./task.ts";

const options = commandLine({
  command: "bun examples/nn_weights/nn_server.ts",
  about: `Trains a network by mini-batch gradient descent, in TypeScript, and serves its weights: f32 arrays w1, b1, w2, b2, committed
together every few batches, with step and loss as metadata. Handwritten digits (784-32-10) or the exclusive or (2-8-2).

With --model it trains nothing: it serves the weights of an ONNX model, each as an array of its own.`,
  flags: {
    listen: text("127.0.0.1:7040", "where to listen", "ADDRESS"),
    task: choice(taskNames, "what to learn"),
    every: number(100, "milliseconds between versions", "MS", { min: 1 }),
    batches: number(5, "batches that make a version", "N", { min: 1, max: 10_000 }),
    seed: number(1, "seed of the first weights and of the order of the samples", "N"),
    model: optionalText("an ONNX model whose weights to serve", "FILE"),
    json: flag("prints a JSON line for each version"),
  },
  examples: [
    "bun examples/nn_weights/nn_server.ts",
    "bun examples/nn_weights/nn_server.ts --task xor --batches 1",
    "bun examples/nn_weights/nn_server.ts --model mnist-7.onnx",
  ],
});

await program(options, (self) => (options.model === undefined ? train(self) : publish(self, options.model)));

async function train(self: Program): Promise<void> {
  const { listen, task: name, every, batches, seed } = options;
  const task = await loadTask(name);
  const random = seeded(seed);
  const network = new Network(task.sizes, random);
  const shapes = weightShapes(task.sizes);
  const arrays = Object.fromEntries(
    weightNames.map((name) => [name, { shape: shapes[name], dtype: "f32" as const }]),
  );
  await using node = await start("nn_server", { listen, arrays });
  let step = 0;
  const commit = (loss: number | null) =>
    node.write((_, tx) => {
      for (const name of weightNames) tx.array(name).assign(network.weights[name]);
      tx.meta = { task: name, step, loss, time: new Date().toISOString() } satisfies TrainingMeta;
    });
  commit(null);

  const losses = new Course();
  const show = () => self.show(serverView(node, self.ink, title(node), losses));
  const pick = () => Math.floor(random() * task.train.labels.length);
  self.every(every, () => {
    let sum = 0;
    for (let i = 0; i < batches; i++, step++)
      sum += network.train(task.train, Array.from({ length: task.batch }, pick), task.rate);
    losses.add(sum / batches);
    commit(sum / batches);
    show();
  });
  serve(self, node);
  show();
  await self.stopped;
}

async function publish(self: Program, file: string): Promise<void> {
  const { weights } = modelWithInputs(await Bun.file(file).bytes());
  await using node = await start("nn_server", { listen: options.listen, arrays: weightArrays(weights) });
  node.write((_, tx) => assignWeights(tx, weights));
  serve(self, node);
  self.show(serverView(node, self.ink, title(node), new Course()));
  await self.stopped;
}

/** Answers the runner. */
function serve(self: Program, node: Node): void {
  self.reports(() => ({ versions: {}, digests: {}, values: {}, problems: [], ...holdings(node) }));
  self.ready(node.addresses, () => node.version["nn_server"] ?? 0);
}

function title(node: Node): string {
  return `listens on ${node.addresses.join(", ")}`;
}
