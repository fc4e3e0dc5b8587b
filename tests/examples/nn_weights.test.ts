import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { countRight } from "../../examples/nn_weights/holdings.ts";
import { argmax, Network, type Samples, weightNames } from "../../examples/nn_weights/network.ts";
import { Course } from "../../examples/nn_weights/nn_view.ts";
import { change, summary } from "../../examples/nn_weights/sparse_step.ts";
import { loadTask } from "../../examples/nn_weights/task.ts";
import { optional } from "../../examples/optional.ts";
import { seeded } from "../../examples/random.ts";
import { start } from "../../src/index.ts";
import { Launched } from "./launch.ts";

setDefaultTimeout(60_000);

const mnist7 = join(import.meta.dir, "../../../shared/data/onnx/mnist-7/model.onnx");

interface Line {
  accuracy: number;
  right: number;
  count: number;
  meta: { step: number; loss: number } | null;
}

/** Cross entropy of the network, as the definition has it: no shortcut, in f64. */
function lossOf({ sizes, weights }: Network, { inputs, labels }: Samples, rows: readonly number[]): number {
  const [width, hidden, classes] = sizes;
  const range = (n: number) => Array.from({ length: n }, (_, i) => i);
  const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);
  const losses = rows.map((row) => {
    const x = range(width).map((i) => inputs[row * width + i]!);
    const h = range(hidden).map((j) =>
      Math.tanh(weights.b1[j]! + sum(x.map((value, i) => value * weights.w1[i * hidden + j]!))),
    );
    const scores = range(classes).map(
      (c) => weights.b2[c]! + sum(h.map((value, j) => value * weights.w2[j * classes + c]!)),
    );
    return Math.log(sum(scores.map(Math.exp))) - scores[labels[row]!]!;
  });
  return sum(losses) / rows.length;
}

describe("the network", () => {
  const random = seeded(5);
  const sizes = [6, 4, 3] as const;
  const samples: Samples = {
    inputs: Float32Array.from({ length: 8 * 6 }, () => (random() < 0.4 ? 0 : random() - 0.5)),
    labels: Uint8Array.from({ length: 8 }, () => Math.floor(3 * random())),
  };
  const rows = [0, 3, 5, 7, 3];

  test("goes down the slope of its loss: each weight as far as the differences say (oracle)", () => {
    const network = new Network(sizes, seeded(6));
    const before = structuredClone(network.weights);
    const loss = lossOf(network, samples, rows);
    const slopes = weightNames.map((name) =>
      Array.from(before[name], (value, i) => {
        const at = (moved: number) => {
          const weights = { ...structuredClone(before) };
          weights[name][i] = value + moved;
          const real = weights[name][i]! - value; // what f32 makes of it
          return { real, loss: lossOf(new Network(sizes, weights), samples, rows) };
        };
        const [up, down] = [at(1e-2), at(-1e-2)];
        return (up.loss - down.loss) / (up.real - down.real);
      }),
    );
    expect(network.train(samples, rows, 0.5)).toBeCloseTo(loss, 5);
    weightNames.forEach((name, n) =>
      slopes[n]!.forEach((slope, i) => {
        expect(before[name][i]! - network.weights[name][i]!).toBeCloseTo(0.5 * slope, 4);
      }),
    );
  });

  test("learns what xor is, from any seed", async () => {
    const task = await loadTask("xor");
    for (let seed = 1; seed <= 10; seed++) {
      const network = new Network(task.sizes, seeded(seed));
      for (let step = 0; step < 1000; step++) network.train(task.train, [0, 1, 2, 3], task.rate);
      expect(Array.from(network.classify(task.test))).toEqual([0, 1, 1, 0]);
    }
  });

  test("argmax takes the first of the greatest", () => {
    expect(argmax([1, 3, 3, 2])).toBe(1);
    expect(argmax([9, 1, 2, 0], 1, 3)).toBe(1);
    expect(
      countRight(Uint8Array.of(1, 0, 2), { inputs: new Float32Array(), labels: Uint8Array.of(1, 1, 2) }),
    ).toBe(2);
  });
});

test("the digits: four of five are for training, no picture is on both sides", async () => {
  const { train, test: heldOut } = await loadTask("digits");
  expect([train.labels.length, heldOut.labels.length]).toEqual([8004, 1996]);
  expect(new Set(heldOut.labels).size).toBe(10);
  const pictures = ({ inputs, labels }: Samples) =>
    Array.from(labels, (_, row) => Bun.hash(inputs.slice(row * 784, (row + 1) * 784)));
  const trained = new Set(pictures(train));
  expect(pictures(heldOut).filter((picture) => trained.has(picture))).toEqual([]);
  expect(heldOut.inputs.every((pixel) => pixel >= 0 && pixel <= 1)).toBe(true);
});

test("the course of a value keeps its beginning, however long it gets", () => {
  const course = new Course();
  for (let i = 0; i < 100_000; i++) course.add(i);
  expect(course.bars()).toHaveLength(60);
  expect(course.bars()).toMatch(/^▁▁.*██$/);
});

test("a package that is missing is named, with what to do", async () => {
  const missing = optional("onnxruntime-node", () => import("./no-such-package" + ".ts"));
  await expect(missing).rejects.toThrow(
    /^this example needs the package onnxruntime-node: bun add -d onnxruntime-node$/,
  );
  const broken = optional("mnist", () => {
    throw new Error("wrong ELF class");
  });
  await expect(broken).rejects.toThrow(
    "needs the package mnist, which is here but does not load: wrong ELF class",
  );
});

describe("nn_server.ts and nn_client.ts", () => {
  test.each([
    ["copy", "--check-hash"],
    ["live", "--json"],
  ])(
    "accuracy on digits that were not trained on climbs above 0.90 (--weights %s)",
    async (weights, flag) => {
      const { server, address } = await Launched.server(
        "nn_weights/nn_server.ts",
        "--every",
        "20",
        "--batches",
        "4",
      );
      await using _ = server;
      const command = ["nn_weights/nn_client.ts", "--server", address, "--weights", weights, "--json", flag];
      await using client = new Launched([...new Set(command)]);
      const first = await client.json<Line>();
      expect(first.count).toBe(1996);
      let last = await client.json<Line>();
      while (last.accuracy <= 0.9) last = await client.json<Line>();
      expect(last.accuracy).toBeCloseTo(last.right / last.count, 12);
      expect(last.meta?.step).toBeGreaterThan(first.meta?.step ?? Infinity);
      expect(await client.stop()).toBe(0);
      expect(await server.stop()).toBe(0);
    },
  );

  test("--task xor: all four cases, and the answers on a terminal", async () => {
    const { server, address } = await Launched.server(
      ...["nn_weights/nn_server.ts", "--task", "xor", "--every", "10", "--batches", "20"],
    );
    await using _ = server;
    const terminal = { columns: 120, rows: 30 };
    await using client = new Launched(["nn_weights/nn_client.ts", "--server", address], {
      terminal,
      env: { NO_COLOR: "1" },
    });
    await client.matches(/accuracy 100.0 %  4 of 4 cases of a xor b/);
    await client.matches(/0 0 → 0 {3}0 1 → 1 {3}1 0 → 1 {3}1 1 → 0/);
  });

  test("a client without --model says so to a server that trains nothing", async () => {
    await using node = await start("weights", { listen: "127.0.0.1:0", arrays: { w: { shape: [2] } } });
    const client = new Launched(["nn_weights/nn_client.ts", "--server", node.addresses[0] ?? ""]);
    const { status, err } = await client.ended();
    expect({ status, err }).toEqual({
      status: 1,
      err: expect.stringMatching(/trains nothing.*--model FILE\n$/),
    });
  });

  if (!existsSync(mnist7))
    console.warn(`SKIPPED: ${mnist7} is not there; no client is run with a real model`);
  test.skipIf(!existsSync(mnist7))(
    "--model mnist-7.onnx: 9,934 of 10,000, with weights that came in",
    async () => {
      const { server, address } = await Launched.server("nn_weights/nn_server.ts", "--model", mnist7);
      await using _ = server;
      await using client = new Launched([
        "nn_weights/nn_client.ts",
        "--server",
        address,
        "--model",
        mnist7,
        "--json",
      ]);
      expect(await client.json<Line>()).toMatchObject({ right: 9934, count: 10_000 });
    },
  );
});

describe("the sparse bench", () => {
  test("changes what it says, by the smallest step of bf16", async () => {
    await using node = await start("sparse", { shape: [512, 4096], dtype: "u16" });
    const random = seeded(3);
    const changed = (kind: Parameters<typeof change>[1]) => {
      const before = node.snapshot().array.data as Uint16Array;
      let said = 0;
      node.write((a) => (said = change(a, kind, 1, random)));
      const after = node.snapshot().array.data as Uint16Array;
      const moves = after.map((value, i) => value - before[i]!);
      const rows = new Set(Array.from(moves, (move, i) => (move ? i >> 12 : -1)));
      rows.delete(-1);
      return { said, moved: moves.reduce((sum, move) => sum + move, 0), rows: rows.size };
    };
    expect(changed("everything")).toEqual({ said: 512 * 4096, moved: 512 * 4096, rows: 512 });
    expect(changed("rows")).toEqual({ said: 6 * 4096, moved: 6 * 4096, rows: 6 });
    const elements = changed("elements");
    expect(elements).toEqual({ said: 20_972, moved: 20_972, rows: 512 });
  });

  test("takes the median of each kind", () => {
    const step = (kind: "rows" | "elements", ms: number) =>
      ({ kind, changedBytes: 1, wireBytes: 2, commitMs: ms, arrivalMs: 10 * ms }) as const;
    const steps = [step("elements", 5), step("rows", 9), step("rows", 1), step("rows", 2)];
    expect(summary(steps).map(({ kind, arrivalMs }) => [kind, arrivalMs])).toEqual([
      ["rows", 20],
      ["elements", 50],
    ]);
  });

  test("starts its follower, and ends with a table", async () => {
    const bench = new Launched(
      ["nn_weights/sparse_bench.ts", "--mib", "8", "--steps", "3", "--listen", "127.0.0.1:0"],
      { env: { NO_COLOR: "1" } },
    );
    const { status, out, err } = await bench.ended();
    expect({ status, err }).toEqual({ status: 0, err: "" });
    const [, rows = "", less = ""] = /^rows +0.09 MiB +(\S+) MiB +(\S+)x/m.exec(out) ?? [];
    expect(Number(rows)).toBeCloseTo(0.09, 1);
    expect(Number(less)).toBeGreaterThan(50);
    expect(out).toMatch(/^everything +8.00 MiB +8.0\d MiB +1.0x/m);
    expect(out).toMatch(/^elements +0.08 MiB/m);
  });
});
