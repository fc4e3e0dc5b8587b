import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { rmSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { makeSchema } from "../../src/array/schema.ts";
import { Mapping } from "../../src/delta/mapping.ts";
import { standingBytesMin } from "../../src/node/following/arrival.ts";
import { Image } from "../../src/node/following/image.ts";
import { KeptParts } from "../../src/node/following/kept_parts.ts";
import { Replica } from "../../src/node/following/replica.ts";
import { Storage } from "../../src/node/storage/storage.ts";
import type { Delta } from "../../src/protocol/assembly.ts";
import type { DeltaChunk, DeltaHead } from "../../src/protocol/part.ts";
import { placeOf } from "../../src/memory/place.ts";
import { uniqueName } from "../memory/names.ts";
import { Random, seed } from "../transport/random.ts";

setDefaultTimeout(30_000);

const cells = 2 * standingBytesMin;
const source = makeSchema([{ name: null, dtype: "u8", shape: [cells] }], 64);
/** What is followed stands in two places, and beside it what the node writes itself. */
const local = makeSchema(
  [
    { name: null, dtype: "u8", shape: [cells] },
    { name: "head", dtype: "u8", shape: [1000] },
    { name: "own", dtype: "u8", shape: [200_000] },
  ],
  64,
);
const mapping = () =>
  new Mapping(source, local, [
    { source: whole(cells), target: whole(cells) },
    { source: whole(1000), target: { ...whole(1000), array: "head" } },
  ]);

function whole(length: number) {
  return { array: null, start: [0], shape: [length] };
}

interface Parts {
  readonly head: DeltaHead;
  readonly parts: readonly DeltaChunk[];
}

function headOf(from: number, to: number, totalBytes: number): DeltaHead {
  const incarnation = "0".repeat(32);
  return {
    incarnation,
    from,
    to,
    totalBytes,
    full: from === 0,
    repair: false,
    meta: undefined,
    root: undefined,
  };
}

/** All bytes of the source anew, or some runs of them; `truth` becomes what they make of it. */
function draw(random: Random, truth: Uint8Array, from: number): Parts {
  const isFull = from === 0 || random.between(0, 3) === 0;
  const runs: number[] = isFull ? [0, cells] : [];
  for (let at = 0; !isFull && at < cells - 5000;) {
    const bytes = random.between(1, random.between(1, 4000));
    runs.push(at, bytes);
    at += bytes + random.between(1, 500);
  }
  const chunks: DeltaChunk[] = [];
  for (let i = 0; i < runs.length; i += 2)
    for (let done = 0; done < runs[i + 1]!;) {
      const bytes = Math.min(runs[i + 1]! - done, random.between(20_000, 65_000));
      const data = random.bytes(bytes);
      truth.set(data, runs[i]! + done);
      chunks.push({ runs: Float64Array.of(runs[i]! + done, bytes), data });
      done += bytes;
    }
  const totalBytes = chunks.reduce((sum, { data }) => sum + data.length, 0);
  return { head: headOf(from, from + 1, totalBytes), parts: isFull ? chunks : joinedSome(chunks, random) };
}

/** Short runs go together in a part. */
function joinedSome(chunks: readonly DeltaChunk[], random: Random): DeltaChunk[] {
  const parts: DeltaChunk[] = [];
  for (let i = 0; i < chunks.length;) {
    const together = chunks.slice(i, i + random.between(1, 40));
    i += together.length;
    const runs = Float64Array.from(together.flatMap((chunk) => [...chunk.runs]));
    parts.push({ runs, data: Uint8Array.from(Buffer.concat(together.map(({ data }) => data))) });
  }
  return parts;
}

function deltaOf({ head, parts }: Parts): Delta {
  return { subscription: 1, ...head, partsBefore: parts.length - 1, chunks: parts.slice(-1) };
}

function bytesOf(storage: Storage): Uint8Array {
  return storage.read((main, view) =>
    Uint8Array.from(
      Buffer.concat([main, view.array("head"), view.array("own")].map(({ data }) => data as Uint8Array)),
    ),
  );
}

describe("a delta in parts", () => {
  test(`ends as if it had come in one, whoever writes in between (oracle, seed ${seed})`, () => {
    const random = new Random();
    using storage = Storage.createPrivate(local);
    const replica = new Replica("source", storage, mapping(), { hasher: null });
    const truth = new Uint8Array(cells);
    const own = new Uint8Array(200_000);
    let shown = bytesOf(storage);
    const expectShown = () => expect(Buffer.compare(bytesOf(storage), shown)).toBe(0);
    let versions = 0;
    let stood = 0;
    const { stand } = storage;
    storage.stand = (giveWay) => (stood++, stand.call(storage, giveWay));
    const interrupt = () => {
      const kind = random.between(0, 7);
      if (kind === 0) {
        const at = random.between(0, own.length - 1);
        own[at]! ^= 1 + random.between(0, 200);
        storage.write((_, tx) => (tx.array("own").data as Uint8Array).set(own));
        versions++;
        shown = Uint8Array.from(Buffer.concat([shown.subarray(0, cells + 1000), own]));
      }
      if (kind === 1) expect(storage.verify().damage).toEqual([]);
      if (kind === 2) expect(() => storage.write(() => fail())).toThrow("undone");
    };
    for (let version = 0; version < 30;) {
      const next = truth.slice();
      const delta = draw(random, next, version);
      for (const [i, part] of delta.parts.slice(0, -1).entries()) {
        replica.take([part], i === 0 ? delta.head : undefined);
        interrupt();
        expect(storage.version).toBe(versions);
      }
      expectShown();
      const fate = random.between(0, 9);
      if (fate === 0) replica.dropParts();
      if (fate <= 1) continue; // the next delta takes its place
      expect(replica.apply(deltaOf(delta)).kind).toBe("ok");
      truth.set(next);
      version++;
      versions++;
      shown = Uint8Array.from(Buffer.concat([truth, truth.subarray(0, 1000), own]));
      expectShown();
      expect(replica.keptBytes).toBe(0);
    }
    expect(stood).toBeGreaterThan(15);
    expect(storage.version).toBe(versions);
  });

  test("a large one is written while it comes, and nothing of it is kept; a small one is", () => {
    using storage = Storage.createPrivate(local);
    const replica = new Replica("source", storage, mapping(), { hasher: null });
    const part = { runs: Float64Array.of(0, 40_000), data: new Uint8Array(40_000).fill(7) };
    replica.take([part], headOf(0, 1, cells));
    expect(replica.keptBytes).toBe(0);
    storage.write((_, tx) => tx.array("own").fill(1));
    expect(replica.keptBytes).toBe(41_000); // with the second place of the first thousand
    expect(storage.read((main) => main.get(0))).toBe(0);
    replica.take([part], headOf(0, 1, standingBytesMin - 1));
    expect(replica.keptBytes).toBe(40_000);
    replica.dropParts();
    expect(replica.keptBytes).toBe(0);
  });

  test("one that is scattered is kept: to take it out again would hold up who wants to write", () => {
    using storage = Storage.createPrivate(local);
    const replica = new Replica("source", storage, mapping(), { hasher: null });
    const [few, many] = [400, 600].map((count) => ({
      runs: Float64Array.from({ length: 2 * count }, (_, i) => (i % 2 ? 8 : 2000 + 16 * i)),
      data: new Uint8Array(8 * count).fill(7),
    }));
    replica.take([few!], headOf(0, 1, cells));
    expect(replica.keptBytes).toBe(0);
    replica.take(
      [{ ...many!, runs: many!.runs.map((each, i) => (i % 2 ? each : each + 50_000)) }],
      undefined,
    );
    expect(replica.keptBytes).toBe(8000);
  });

  test("what came between its parts is not kept with them", () => {
    const kept = new KeptParts();
    const pieces = Float64Array.of(0, 0, 1);
    for (let i = 1; i <= 100; i++) {
      kept.add(pieces, new Uint8Array(300_000).fill(i).subarray(100, 32_100));
      expect(kept.bytes).toBeLessThanOrEqual(2 * i * 32_000 + 2 ** 20);
    }
    expect(
      [...kept].every(({ data }, i) => data.length === 32_000 && data.every((byte) => byte === i + 1)),
    ).toBe(true);
    const together = new KeptParts();
    const read = new Uint8Array(524_288);
    for (let i = 0; i < 8; i++) together.add(pieces, read.subarray(i * 65_536, (i + 1) * 65_536));
    expect([...together].every(({ data }) => data.buffer === read.buffer)).toBe(true);
  });

  test("two servers of one memory take it from each other", () => {
    using storage = Storage.createPrivate(local);
    const a = new Replica("a", storage, mapping(), { hasher: null });
    const other = makeSchema([{ name: null, dtype: "u8", shape: [200_000] }], 64);
    const target = { array: "own", start: [0], shape: [200_000] };
    const b = new Replica("b", storage, new Mapping(other, local, [{ source: whole(200_000), target }]), {
      hasher: null,
    });
    const parts = (bytes: number, value: number): Parts => ({
      head: headOf(0, 1, bytes),
      parts: [0, 1].map((half) => ({
        runs: Float64Array.of((half * bytes) / 2, bytes / 2),
        data: new Uint8Array(bytes / 2).fill(value),
      })),
    });
    const [ofA, ofB] = [parts(cells, 3), parts(200_000, 4)];
    a.take([ofA.parts[0]!], ofA.head);
    b.take([ofB.parts[0]!], ofB.head);
    expect([a.keptBytes > 0, b.keptBytes]).toEqual([true, 0]);
    a.apply(deltaOf(ofA));
    expect(storage.read((main, view) => [main.get(cells - 1), view.array("own").get(0)])).toEqual([3, 0]);
    b.apply(deltaOf(ofB));
    expect(storage.read((main, view) => [main.get(0), view.array("own").get(199_999)])).toEqual([3, 4]);
    expect(storage.version).toBe(2);
  });

  test("parts that are missing are no delta", () => {
    using storage = Storage.createPrivate(local);
    const replica = new Replica("source", storage, mapping(), { hasher: null });
    const delta = draw(new Random(), new Uint8Array(cells), 0);
    expect(delta.parts.length).toBeGreaterThan(2);
    replica.take([delta.parts[0]!], delta.head);
    expect(() => replica.apply(deltaOf(delta))).toThrow("1 of");
    expect(storage.version).toBe(0);
  });

  test("memory without standing transactions keeps them", () => {
    const image = new Image(source);
    const replica = new Replica(
      "source",
      image,
      new Mapping(source, source, [{ source: whole(cells), target: whole(cells) }]),
      { hasher: null },
    );
    const truth = new Uint8Array(cells);
    const delta = draw(new Random(), truth, 0);
    for (const [i, part] of delta.parts.slice(0, -1).entries())
      replica.take([part], i === 0 ? delta.head : undefined);
    expect(replica.keptBytes).toBeGreaterThan(0);
    expect(new Uint8Array(image.buffer, 0, cells)).toEqual(new Uint8Array(cells));
    replica.apply(deltaOf(delta));
    expect(new Uint8Array(image.buffer, 0, cells)).toEqual(truth);
  });
});

test.each(["close", "kill -9"])(
  "a process that ends by %s in the middle of one leaves the version before",
  async (end) => {
    const name = uniqueName("arrival");
    const script = `
    import { Storage } from ${JSON.stringify(join(import.meta.dir, "../../src/node/storage/storage.ts"))};
    import { makeSchema } from ${JSON.stringify(join(import.meta.dir, "../../src/array/schema.ts"))};
    const schema = makeSchema([{ name: null, dtype: "u8", shape: [${cells}] }], 64);
    const storage = Storage.createShared(${JSON.stringify(name)}, schema, { persist: true });
    storage.write((a) => a.fill(5));
    storage.stand(() => {});
    storage.segment.scatter(new Uint8Array(${cells}).fill(9), Float64Array.of(0, 0, ${cells}));
    if (${JSON.stringify(end)} === "close") storage.close();
    else process.kill(process.pid, 9);
  `;
    await Bun.spawn(["bun", "-e", script], { stdout: "inherit", stderr: "inherit" }).exited;
    using storage = Storage.createShared(name, source, {});
    expect(storage.read((main) => [storage.version, main.get(0), main.get(cells - 1)])).toEqual([1, 5, 5]);
    storage.write((a) => a.set(0, 6));
    expect(storage.verify().damage).toEqual([]);
    expect(storage.snapshot(null).array.get(1)).toBe(5);
  },
);

describe("a file that is lost in the middle of one", () => {
  function standing() {
    const name = uniqueName("lost");
    const storage = Storage.createShared(name, source, {});
    storage.write((a) => a.fill(5));
    const transaction = storage.stand(() => {})!;
    storage.segment.scatter(new Uint8Array(cells).fill(9), Float64Array.of(0, 0, cells));
    return { name, storage, transaction, files: placeOf(name) };
  }

  test("does not keep the memory open", () => {
    const { name, storage, files } = standing();
    truncateSync(files.data, 4096);
    expect(() => storage.close()).toThrow(expect.objectContaining({ code: "TRUNCATED" }));
    expect(storage.segment.isOpen).toBe(false);
    rmSync(files.data, { force: true });
    Storage.createShared(name, source, {}).close();
  });

  test("is found before it is committed", () => {
    const { storage, transaction, files } = standing();
    rmSync(files.data);
    expect(() => transaction.settle()).toThrow(expect.objectContaining({ code: "STALE" }));
    expect([storage.version, storage.read((a) => a.get(0))]).toEqual([1, 5]);
    storage.close();
  });
});

function fail(): never {
  throw new Error("undone");
}
