/** Follows the weights of nn_server.ts and shows what they are worth: ONNX Runtime sorts digits with each version that arrives. */
import { type Node, start } from "../../src/index.ts";
import { modelWithInputs } from "../../src/onnx/index.ts";
import { follow } from "../follow.ts";
import { choice, commandLine, flag, optionalText, text } from "../options.ts";
import { program } from "../program.ts";
import { Classifier, feedings, type WeightNames } from "./classifier.ts";
import { loadDigits } from "./digits.ts";
import { classified, countRight, holdings } from "./holdings.ts";
import { mlpModel, type Samples, type Sizes, weightNames } from "./network.ts";
import { clientView, Course, type Score } from "./nn_view.ts";
import { loadTask, readMeta } from "./task.ts";

const options = commandLine({
  command: "bun examples/nn_weights/nn_client.ts",
  about: `Follows a network that is being trained, and runs it: ONNX Runtime takes the weights as inputs, from the arrays as they came in,
and tells how many digits of those that were not trained on each version gets right.

With --model, for a server that serves the weights of that model: takes its own out of it, uses those that it receives,
and sorts all 10,000 digits (pixels 0 to 255).`,
  flags: {
    server: text("127.0.0.1:7040", "the server to follow", "ADDRESS"),
    weights: choice(feedings, "copies each version before it runs, or runs on the live memory and looks"),
    model: optionalText("an ONNX model for one picture of 28x28", "FILE"),
    checkHash: flag("verifies every update by a hash, and repairs what differs"),
    json: flag("prints a JSON line for each version that was run"),
  },
  examples: [
    "bun examples/nn_weights/nn_client.ts",
    "bun examples/nn_weights/nn_client.ts --weights live --json | jq .accuracy",
    "bun examples/nn_weights/nn_client.ts --model mnist-7.onnx",
  ],
});

/** What to run, and on what. */
interface Job {
  readonly model: Uint8Array;
  readonly weights: WeightNames;
  readonly samples: Samples;
  readonly are: string;
  /** For a network that TypeScript can run too. */
  readonly sizes?: Sizes;
}

async function jobFor(node: Node): Promise<Job> {
  if (options.model !== undefined) return await modelJob(options.model);
  const meta = readMeta(node.meta);
  if (!meta)
    throw new Error(`${options.server} trains nothing; if it serves a model's weights, give --model FILE`);
  const { sizes, test, testAre } = await loadTask(meta.task);
  return { model: mlpModel(sizes), weights: weightNames, samples: test, are: testAre, sizes };
}

async function modelJob(file: string): Promise<Job> {
  const opened = modelWithInputs(await Bun.file(file).bytes());
  const { all } = await loadDigits();
  const inputs = all.inputs.map((pixel) => pixel * 255);
  return { ...opened, samples: { ...all, inputs }, are: "digits" };
}

/**
 * Throws where ONNX Runtime and TypeScript do not get the same from the same weights (but for a draw now and then), and where the
 * training is no better than guessing.
 */
function check(node: Node, { sizes, samples }: Job, { classes, meta }: Score): void {
  if (!sizes) return;
  const ours = classified(node, sizes, samples);
  const different = ours.reduce((sum, one, i) => sum + Number(one !== classes[i]), 0);
  if (different > samples.labels.length / 200)
    throw new Error(
      `ONNX Runtime and TypeScript sort ${different} samples differently, with the same weights`,
    );
  const [loss, guessing] = [readMeta(meta)?.loss ?? Infinity, Math.log(sizes[2])];
  if (loss >= guessing) throw new Error(`the loss is ${loss}; guessing has ${guessing}`);
}

await program(options, async (self) => {
  const { server, checkHash } = options;
  self.waitsFor(server);
  await using node = await start("nn_client", { server, checkHash });
  await node.ready;
  const job = await jobFor(node);
  const { samples, are } = job;
  const classifier = await Classifier.open(job.model, node, job.weights, samples, options.weights);
  const accuracies = new Course();

  const measure = async (): Promise<Score> => {
    const { meta, result } = await classifier.classify();
    const [right, count] = [countRight(result.classes, samples), samples.labels.length];
    accuracies.add(right / count);
    return { meta, right, count, ...result };
  };

  // One run at a time: versions that come in while it lasts are part of the next one's.
  let running: Promise<void> | undefined;
  let wanted: string | undefined;
  const run = async () => {
    while (wanted !== undefined) {
      const title = wanted;
      wanted = undefined;
      self.show(clientView(node, self.ink, title, { samples, are, score: await measure(), accuracies }));
    }
    running = undefined;
  };
  await follow(self, node, server, {
    show(title) {
      wanted = title;
      running ??= run();
      running.catch(self.fail);
    },
    async holds() {
      await running;
      check(node, job, await measure());
      return holdings(node);
    },
  });
  await running;
});
