import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { MemblastError } from "../../src/errors.ts";
import { Segment } from "../../src/memory/segment.ts";
import { Child } from "./child.ts";
import { codeOf, errorOf } from "./codes.ts";
import { uniqueName } from "./names.ts";

setDefaultTimeout(30_000);

const spec = { schemaText: "{}", imageBytes: 4096, metaOffset: 0 };

function createMany(
  stem: string,
  lockTimeoutMs = 5000,
): { name: string; segment: Segment; cells: Float64Array } {
  const name = uniqueName(stem);
  const segment = Segment.create(name, spec, { writers: "many", lockTimeoutMs });
  return { name, segment, cells: new Float64Array(segment.buffer("working", 0, spec.imageBytes)) };
}

function committed(segment: Segment): Float64Array {
  const copy = new Float64Array(segment.imageBytes / 8);
  segment.snapshot(new Uint8Array(copy.buffer));
  return copy;
}

describe("many writers", () => {
  test("eight processes at once: nothing is lost, and the least served gets at least half of the most served", async () => {
    const { name, segment } = createMany("eight");
    using _segment = segment;
    const children = Array.from({ length: 8 }, (_, i) => new Child("contend.ts", [name, 8 * (i + 1), 700]));
    try {
      for (const child of children) expect(await child.line()).toBe("ready");
      for (const child of children) child.say("go");
      const turns: number[] = [];
      for (const child of children) turns.push(await child.json<number>());
      const sum = turns.reduce((a, b) => a + b);
      expect(committed(segment)[0]).toBe(sum);
      expect(turns.map((_, i) => committed(segment)[8 * (i + 1)])).toEqual(turns);
      expect(segment.version).toBe(sum);
      expect(Math.min(...turns) / Math.max(...turns)).toBeGreaterThan(0.5);
    } finally {
      for (const child of children) await child[Symbol.asyncDispose]();
    }
  }, 20_000);

  test("a wait that is too long is LOCKED and names the holder; its death frees the lock and undoes what it had begun", async () => {
    const { name, segment, cells } = createMany("deadline", 60);
    using _segment = segment;
    await using holder = new Child("hold.ts", [name, 5, 1000]);
    await holder.line();
    holder.say("go");
    expect([await holder.line(), await holder.line()]).toEqual(["waiting", "writing"]);
    holder.kill("SIGSTOP");

    const error = errorOf(() => segment.begin());
    expect(error.code).toBe("LOCKED");
    const { pid, heldMs } = error.details["holder"] as { pid: number; heldMs: number };
    expect(pid).toBe(holder.pid);
    expect(heldMs).toBeGreaterThanOrEqual(0);
    expect(heldMs).toBeLessThan(600_000);
    expect(error.message).toContain(`process ${holder.pid}, for `);
    expect(committed(segment)[0]).toBe(0); // readers are not held up, and see no half

    holder.kill("SIGKILL");
    await holder.exited;
    segment.begin();
    expect(cells[0]).toBe(0);
    segment.rollback();
    expect(segment.counters).toEqual({ rollbacks: 2, recoveries: 1 });
  });

  test.each(["SIGSTOP", "SIGKILL"] as const)(
    "the first in the queue gets %s: the others are served",
    async (signal) => {
      const { name, segment, cells } = createMany("queue");
      using _segment = segment;
      segment.begin();
      await using first = new Child("hold.ts", [name, 1, 20_000]);
      expect(await first.line()).toBe("ready");
      await using second = new Child("hold.ts", [name, 2, 20_000]);
      expect(await second.line()).toBe("ready");
      for (const child of [first, second]) {
        child.say("go");
        expect(await child.line()).toBe("waiting");
      }
      await Bun.sleep(20);
      first.kill(signal);
      if (signal === "SIGKILL") await first.exited;
      cells[1] = 1;
      segment.touch(8, 8);
      segment.commit();
      expect(await second.line()).toBe("writing");
      second.say("end");
      expect(await second.line()).toBe("version 2");
      if (signal === "SIGKILL") return;
      first.kill("SIGCONT");
      expect(await first.line()).toBe("writing");
      first.say("end");
      expect(await first.line()).toBe("version 3");
      expect(committed(segment)[0]).toBe(1);
    },
  );

  test("a write inside of a write is refused at once, also through another handle of the same thread", () => {
    const { name, segment } = createMany("nested");
    using _segment = segment;
    using other = Segment.attach(name, { mode: "rw" });
    segment.begin();
    expect(codeOf(() => segment.begin())).toBe("NESTED_WRITE");
    expect(codeOf(() => other.begin())).toBe("NESTED_WRITE");
    expect(codeOf(() => other.commit())).toBe("NOT_IN_WRITE");
    segment.commit();
    other.begin();
    expect(codeOf(() => segment.begin())).toBe("NESTED_WRITE");
    other.rollback();
    segment.begin();
    segment.rollback();
  });

  test("without time to wait, a free lock is taken and a held one refused", async () => {
    const { name, segment } = createMany("try", 0);
    using _segment = segment;
    segment.begin();
    segment.rollback();
    await using holder = new Child("hold.ts", [name, 5, 1000]);
    await holder.line();
    holder.say("go");
    await holder.line();
    await holder.line();
    expect(codeOf(() => segment.begin())).toBe("LOCKED");
    holder.say("end");
    await holder.line();
    segment.begin();
    segment.rollback();
  });

  test("readers of a segment need no turn", () => {
    const { name, segment, cells } = createMany("readers");
    using _segment = segment;
    using reader = Segment.attach(name);
    segment.begin();
    cells[0] = 9;
    segment.touch(0, 8);
    expect(committed(reader)[0]).toBe(0);
    segment.commit();
    expect(committed(reader)[0]).toBe(9);
    expect(codeOf(() => reader.begin())).toBe("READ_ONLY");
  });
});

describe("a terminated Worker", () => {
  const script = join(import.meta.dir, "children/worker_writer.ts");

  async function writing(name: string, spin: boolean): Promise<Worker> {
    const worker = new Worker(script);
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    worker.onmessage = resolve;
    worker.onerror = reject;
    worker.postMessage({ name, spin });
    await promise;
    return worker;
  }

  test.each([true, false])("gives back its turn in the middle of a write (spinning: %p)", async (spin) => {
    const { name, segment, cells } = createMany("worker");
    using _segment = segment;
    for (let round = 1; round <= 5; round++) {
      const worker = await writing(name, spin);
      worker.terminate();
      segment.begin(); // waits for it
      expect(cells[0]).toBe(0);
      segment.rollback();
      expect(segment.counters.recoveries).toBe(round);
    }
  });

  test("gives back the segment that it owned", async () => {
    const name = uniqueName("worker-owner");
    const owner = Segment.create(name, spec);
    using _reader = Segment.attach(name); // so that the name outlives its first owner
    owner.close();
    const worker = await writing(name, true);
    expect(codeOf(() => Segment.attach(name, { mode: "rw" }))).toBe("LOCKED");
    worker.terminate();
    const next = await eventually(() => Segment.attach(name, { mode: "rw" }));
    expect(next.recovery).toBe("rolled back");
    next.close();
  });
});

/** The result of `action`, tried again while it is LOCKED. */
async function eventually<T>(action: () => T): Promise<T> {
  for (const end = performance.now() + 8000; ; await Bun.sleep(1))
    try {
      return action();
    } catch (error) {
      if (!(error instanceof MemblastError) || error.code !== "LOCKED" || performance.now() > end)
        throw error;
    }
}
