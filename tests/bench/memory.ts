import { library } from "../../src/memory/library.ts";
import { sha256 } from "../../src/memory/digest.ts";
import { Segment } from "../../src/memory/segment.ts";
import { type Node, start } from "../../src/index.ts";
import { type Bench, nanoseconds } from "./measure.ts";

const spec = (imageBytes: number) => ({ schemaText: "{}", imageBytes, metaOffset: 0 });

const commitCell: Bench = {
  name: "commit-cell",
  unit: "commits/s",
  aim: 1e6,
  aimOf: "value",
  against: "begin and commit of the C library alone, one cell touched",
  async open(ms) {
    const node = await start("bench", { shape: [3, 390] });
    const bare = Segment.createPrivate(spec(9408));
    const working = new Float64Array(bare.buffer("working", 0, 9360));
    let tick = 0;
    return {
      value: () => 1e9 / nanoseconds(ms, (i) => node.write((a) => a.set(1, i % 390, ++tick))),
      limit: () =>
        1e9 /
        nanoseconds(ms, (i) => {
          bare.begin();
          working[i % 390] = ++tick;
          bare.touch((i % 390) * 8, 8);
          bare.commit();
        }),
      async close() {
        await node.close();
        bare.close();
      },
    };
  },
};

/** What it costs to keep the time of every write beside a million f64. */
function meshBench(
  about: Pick<Bench, "name" | "unit" | "aim" | "aimOf" | "isTime">,
  figure: (ms: number, node: Node) => number,
): Bench {
  return {
    ...about,
    against: "the same without mesh: true",
    async open(ms) {
      const shape = [1_000_000];
      const [mesh, plain] = [await start("mesh", { shape, mesh: true }), await start("plain", { shape })];
      return {
        value: () => figure(ms, mesh),
        limit: () => figure(ms, plain),
        async close() {
          await Promise.all([mesh.close(), plain.close()]);
        },
      };
    },
  };
}

let tick = 0;
const meshCell = meshBench({ name: "mesh-cell", unit: "commits/s", aim: 1e5, aimOf: "value" }, (ms, node) => {
  return 1e9 / nanoseconds(ms, (i) => node.write((a) => a.set((i * 7919) % 1_000_000, ++tick)));
});
const meshFill = meshBench(
  { name: "mesh-fill", unit: "ns", aim: 0.1, aimOf: "ratio", isTime: true },
  (ms, node) => nanoseconds(ms, () => node.write((a) => a.fill(++tick))),
);

function snapshotOf(name: string, bytes: number): Bench {
  return {
    name: `snapshot-${name}`,
    unit: "ns",
    aim: 0.8,
    aimOf: "ratio",
    isTime: true,
    against: "memcpy of as many bytes through the same binding",
    async open(ms) {
      const segment = Segment.createPrivate(spec(bytes));
      segment.begin();
      segment.touch(0, bytes);
      new Uint8Array(segment.buffer("working", 0, bytes)).fill(7);
      segment.commit();
      const from = new Uint8Array(segment.buffer("committed", 0, bytes));
      const into = new Uint8Array(bytes);
      return {
        value: () => nanoseconds(ms, () => segment.snapshot(into)),
        limit: () => nanoseconds(ms, () => library.memcpy(into, from, bytes)),
        close: () => segment.close(),
      };
    },
  };
}

const diffEqual: Bench = {
  name: "diff",
  unit: "GB/s",
  aim: 0.8,
  aimOf: "ratio",
  against: "memcmp of both images, 64 MiB, equal",
  async open(ms) {
    const bytes = 64 * 2 ** 20;
    const segment = Segment.createPrivate(spec(bytes));
    const working = new Uint8Array(segment.buffer("working", 0, bytes)).fill(7);
    const committed = new Uint8Array(segment.buffer("committed", 0, bytes));
    segment.begin();
    segment.touch(0, bytes);
    segment.commit();
    const diff = () => {
      segment.begin();
      segment.touch(0, bytes);
      segment.commit();
    };
    return {
      value: () => bytes / nanoseconds(ms, diff),
      limit: () => bytes / nanoseconds(ms, () => library.memcmp(working, committed, bytes)),
      close: () => segment.close(),
    };
  },
};

const sha: Bench = {
  name: "sha256",
  unit: "GB/s",
  aim: 1,
  aimOf: "ratio",
  against: "Bun.CryptoHasher, 1 MiB",
  async open(ms) {
    const data = crypto.getRandomValues(new Uint8Array(65_536));
    const message = new Uint8Array(2 ** 20);
    for (let at = 0; at < message.length; at += data.length) message.set(data, at);
    return {
      value: () => message.length / nanoseconds(ms, () => sha256(message)),
      limit: () =>
        message.length / nanoseconds(ms, () => new Bun.CryptoHasher("sha256").update(message).digest()),
    };
  },
};

export const memoryBenches: readonly Bench[] = [
  commitCell,
  meshCell,
  meshFill,
  snapshotOf("64B", 64),
  snapshotOf("4KB", 4096),
  snapshotOf("1MB", 2 ** 20),
  diffEqual,
  sha,
];
