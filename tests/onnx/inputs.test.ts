import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { attach, type Node, start } from "../../src/index.ts";
import { WeightInputs } from "../../src/onnx/index.ts";

setDefaultTimeout(30_000);

/** Keeps what it is made of, as onnxruntime-node's does. */
class Tensor {
  readonly type: string;
  readonly data: Float32Array;
  readonly dims: readonly number[];
  constructor(type: never, data: never, dims: readonly number[]) {
    this.type = type;
    this.data = data;
    this.dims = dims;
  }
}

type Feeds = Readonly<Record<string, Tensor>>;

const arrays = {
  w: { shape: [3, 2], dtype: "f32" },
  b: { shape: [2], dtype: "f32" },
} as const;

/** A version: every element of both arrays is `value`. */
function commit(node: Node, value: number): void {
  node.write((_, tx) => {
    tx.array("w").fill(value);
    tx.array("b").fill(value);
    tx.meta = { value };
  });
}

const values = (feeds: Feeds) => [...new Set([...(feeds["w"]?.data ?? []), ...(feeds["b"]?.data ?? [])])];

/** A run that can be held up, as a session's is until its turn comes. */
function heldUp() {
  const { promise, resolve } = Promise.withResolvers<void>();
  const seen: Feeds[] = [];
  return {
    go: resolve,
    seen,
    async run(feeds: Feeds) {
      seen.push(feeds);
      await promise;
      return values(feeds);
    },
  };
}

const uniqueName = () => `onnx-${process.pid}-${Math.random().toString(36).slice(2, 10)}`;

describe("run", () => {
  test("gives tensors of the arrays' types, shapes and values, under the names of the inputs", async () => {
    await using node = await start("onnx", { arrays });
    commit(node, 5);
    const inputs = new WeightInputs(
      node,
      [
        { name: "conv/w", array: "w" },
        { name: "b", array: "b" },
      ],
      Tensor,
    );
    const { version, meta, result } = await inputs.run(async (feeds) => feeds);
    expect({ version, meta }).toEqual({ version: 1, meta: { value: 5 } });
    expect(Object.keys(result)).toEqual(["conv/w", "b"]);
    expect(result["conv/w"]).toMatchObject({
      type: "float32",
      dims: [3, 2],
      data: new Float32Array(6).fill(5),
    });
  });

  test("gives one version whole, whatever somebody stored into a raw view before", async () => {
    await using node = await start(uniqueName(), { arrays, share: true });
    commit(node, 1);
    (node.ndarray("w").data as Float32Array)[3] = 99;
    commit(node, 2);
    const inputs = new WeightInputs(node, ["w", "b"], Tensor);
    const { version, result } = await inputs.run(async (feeds) => values(feeds));
    expect({ version, result }).toEqual({ version: 2, result: [2] });
  });

  test("keeps its version while others come in, and runs at one time do not disturb each other", async () => {
    await using node = await start("onnx", { arrays });
    const inputs = new WeightInputs(node, ["w", "b"], Tensor);
    const runs = [];
    const held = [];
    for (let value = 1; value <= 4; value++) {
      commit(node, value);
      const one = heldUp();
      held.push(one);
      runs.push(inputs.run(one.run));
    }
    commit(node, 99);
    for (const one of held.toReversed()) one.go();
    expect(await Promise.all(runs)).toEqual(
      [1, 2, 3, 4].map((value) => ({ version: value, meta: { value }, result: [value] })),
    );
  });

  test("uses its memory again, and copies a version once", async () => {
    await using node = await start("onnx", { arrays });
    const inputs = new WeightInputs(node, ["w", "b"], Tensor);
    const buffers = new Set<unknown>();
    for (let value = 1; value <= 10; value++) {
      commit(node, value);
      for (let again = 0; again < 3; again++)
        await inputs.run(async (feeds) => {
          buffers.add(feeds["w"]?.data.buffer);
          expect(values(feeds)).toEqual([value]);
        });
    }
    expect(buffers.size).toBe(1);
  });

  test("gives its memory free when a run fails", async () => {
    await using node = await start("onnx", { arrays });
    const inputs = new WeightInputs(node, ["w", "b"], Tensor);
    const buffers = new Set<unknown>();
    for (let value = 1; value <= 3; value++) {
      commit(node, value);
      const run = inputs.run(async (feeds) => {
        buffers.add(feeds["w"]?.data.buffer);
        throw new Error("no session");
      });
      await expect(run).rejects.toThrow("no session");
    }
    expect(buffers.size).toBe(1);
  });

  test("is for attached nodes too, and says so when an array is not there", async () => {
    const name = uniqueName();
    await using owner = await start(name, { arrays, share: true });
    await using node = await attach(name);
    commit(owner, 3);
    const { result } = await new WeightInputs(node, ["w", "b"], Tensor).run(async (feeds) => values(feeds));
    expect(result).toEqual([3]);
    await expect(new WeightInputs(node, ["bias"], Tensor).run(async () => 0)).rejects.toThrow(
      /no array "bias"/,
    );
  });
});

describe("runLive", () => {
  test("gives the committed memory itself", async () => {
    await using node = await start("onnx", { arrays });
    commit(node, 1);
    const inputs = new WeightInputs(node, ["w", "b"], Tensor);
    const first = await inputs.runLive(async (feeds) => feeds);
    commit(node, 2);
    expect(values(first.result)).toEqual([2]);
    const second = await inputs.runLive(async (feeds) => values(feeds));
    expect(second).toEqual({ version: 2, meta: { value: 2 }, result: [2] });
  });

  test("runs again when a version came in meanwhile, and with a copy when that goes on", async () => {
    await using node = await start("onnx", { arrays });
    commit(node, 1);
    const inputs = new WeightInputs(node, ["w", "b"], Tensor);
    const disturbed = async (times: number) => {
      let calls = 0;
      const buffers = new Set<unknown>();
      const whole = await inputs.runLive(async (feeds) => {
        buffers.add(feeds["w"]?.data.buffer);
        const before = values(feeds);
        if (calls++ < times) commit(node, 100 * times + calls);
        return before;
      });
      return { calls, memories: buffers.size, value: whole.result[0], meta: whole.meta };
    };
    expect(await disturbed(0)).toEqual({ calls: 1, memories: 1, value: 1, meta: { value: 1 } });
    expect(await disturbed(1)).toEqual({ calls: 2, memories: 1, value: 101, meta: { value: 101 } });
    expect(await disturbed(2)).toEqual({ calls: 3, memories: 1, value: 202, meta: { value: 202 } });
    expect(await disturbed(9)).toEqual({ calls: 4, memories: 2, value: 903, meta: { value: 903 } });
  });

  test("is refused where another process writes", async () => {
    const name = uniqueName();
    await using owner = await start(name, { arrays, share: true });
    commit(owner, 1);
    await using node = await attach(name);
    const run = new WeightInputs(node, ["w", "b"], Tensor).runLive(async () => 0);
    await expect(run).rejects.toThrow(expect.objectContaining({ code: "READ_ONLY" }));
    expect(owner.version[name]).toBe(1);
  });
});
