/** What a training step costs that changes one percent of a large model: bytes on the wire and time, against sending everything. */
import { join } from "node:path";
import { attach, MemblastError, type Node, start } from "../../src/index.ts";
import { digests } from "../digests.ts";
import { commandLine, flag, number, text } from "../options.ts";
import { program } from "../program.ts";
import { arrivalsName } from "./sparse_follower.ts";
import { Bench, kinds, rowElements, type Step } from "./sparse_step.ts";
import { benchTable, benchView, problems } from "./sparse_view.ts";

const options = commandLine({
  command: "bun examples/nn_weights/sparse_bench.ts",
  about: `Changes one percent of 256 MiB of bf16 weights, commits, and waits until a follower in another process has the version: whole
rows, scattered; then as many single values, anywhere; and all of them, to compare with.`,
  flags: {
    listen: text("127.0.0.1:7041", "where to listen", "ADDRESS"),
    mib: number(256, "size of the weights in MiB", "N", { min: 1, max: 4096 }),
    percent: number(1, "how much a step changes", "N", { min: 0.01, max: 100, whole: false }),
    steps: number(5, "steps of each kind; 0 goes on until it is stopped", "N", { max: 1_000_000 }),
    seed: number(1, "seed of what is changed", "N"),
    wait: flag("waits for a sparse_follower.ts that you start, instead of starting one"),
    json: flag("prints a JSON line for each step"),
  },
  examples: [
    "bun examples/nn_weights/sparse_bench.ts",
    "bun examples/nn_weights/sparse_bench.ts --mib 64 --percent 0.1 --steps 20",
  ],
});

await program(options, async (self) => {
  await using node = await start("sparse_bench", {
    listen: options.listen,
    shape: [(options.mib * 2 ** 20) / (2 * rowElements), rowElements],
    dtype: "u16",
  });
  const address = node.addresses[0] ?? "";
  await using _follower = options.wait ? undefined : startFollower(address);
  self.reports(() => ({ versions: {}, digests: digests(node), values: {}, problems: problems(steps) }));
  self.ready(node.addresses, () => node.version["sparse_bench"] ?? 0);

  const heading = `${options.mib} MiB of bf16, ${options.percent} % changed per step`;
  const steps: Step[] = [];
  const finished = Promise.withResolvers<void>();
  const arrivals = await Promise.race([self.stopped, attachArrivals(arrivalsName(address))]);
  if (!arrivals) return;
  const bench = new Bench(node, arrivals, options);
  self.every(1, () => {
    if (bench.isBusy) return;
    if (options.steps > 0 && steps.length === kinds.length * options.steps) return finished.resolve();
    bench.step(steps.length, (step) => {
      steps.push(step);
      self.show(benchView(steps, heading, self.ink));
    });
  });
  await Promise.race([self.stopped, finished.promise]);
  await arrivals.close();
  if (!process.stdout.isTTY && !options.json) benchTable(steps, heading, self.ink).forEach(self.say, self);
});

function startFollower(address: string): AsyncDisposable {
  const follower = Bun.spawn(
    [process.execPath, join(import.meta.dir, "sparse_follower.ts"), "--server", address],
    // It ends with the channel, whatever becomes of this process.
    { stdio: ["ignore", "ignore", "inherit"], serialization: "json", ipc: () => {} },
  );
  return {
    async [Symbol.asyncDispose]() {
      follower.kill("SIGTERM");
      await follower.exited;
    },
  };
}

/** The follower's segment, as soon as there is one. */
async function attachArrivals(name: string): Promise<Node> {
  for (;;) {
    try {
      return await attach(name);
    } catch (error) {
      if (!(error instanceof MemblastError && error.code === "NOT_FOUND")) throw error;
      await Bun.sleep(20);
    }
  }
}
