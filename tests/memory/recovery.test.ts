import { clean } from "../../src/memory/listing.ts";
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { closeSync, openSync, writeSync } from "node:fs";
import { placeOf } from "../../src/memory/place.ts";
import { Segment } from "../../src/memory/segment.ts";
import { Child } from "./child.ts";
import { canCrash, crashEnvironment } from "./crash_library.ts";
import { uniqueName } from "./names.ts";

setDefaultTimeout(30_000);

const imageBytes = 8192;
const spec = { schemaText: "{}", imageBytes, metaOffset: 0 };
/** The cells that children/crash.ts writes, and the blocks they lie in, as image runs. */
const written = [0, 40, 41, 500];
const writtenRuns = [0, 64, 320, 64, 4000 - (4000 % 64), 64];

/** A segment at version 1 with a 1 in cell 100. */
function create(stem: string): { name: string; segment: Segment } {
  const name = uniqueName(stem);
  const segment = Segment.create(name, spec, { writers: "many" });
  const cells = new Float64Array(segment.buffer("working", 0, imageBytes));
  segment.begin();
  cells[100] = 1;
  segment.touch(800, 8);
  segment.commit();
  return { name, segment };
}

/** Dies at `step`; false if it came to its end instead. */
async function dies(name: string, step: number, value: number, how: "commit" | "rollback"): Promise<boolean> {
  await using child = new Child("crash.ts", [name, step, value, how], { env: crashEnvironment() });
  await child.exited;
  if (child.signal === null) expect(await child.line()).toBe("done");
  return child.signal === "SIGKILL";
}

function snapshotOf(segment: Segment): { version: number; cells: Float64Array<ArrayBuffer> } {
  const cells = new Float64Array(imageBytes / 8);
  return { version: segment.snapshot(new Uint8Array(cells.buffer)), cells };
}

function expectCells(cells: Float64Array, value: number): void {
  const expected = new Float64Array(imageBytes / 8);
  expected[100] = 1;
  for (const at of written) expected[at] = value;
  expect(cells).toEqual(expected);
}

/** One version or the other, whole; and the delta between them exactly. */
function expectWhole(segment: Segment, values: { before: number; after: number }, from: number): number {
  const { version, cells } = snapshotOf(segment);
  expect([from, from + 1]).toContain(version);
  expectCells(cells, version === from ? values.before : values.after);
  const changed = segment.changedSince(from);
  expect(changed.version).toBe(version);
  expect([...changed.runs]).toEqual(version === from ? [] : writtenRuns);
  return version;
}

describe.skipIf(!canCrash)("a writer that is killed", () => {
  test.each(["commit", "rollback"] as const)(
    "at any step of a %s leaves one version or the other, and the next one mends it",
    async (how) => {
      const { name, segment } = create(`killed-${how}`);
      using _segment = segment;
      const reached = new Set<number>();
      let before = 0;
      for (let step = 1; ; step++) {
        const from = segment.version;
        const isDead = await dies(name, step, step, how);
        const seen = expectWhole(segment, { before, after: step }, from); // a reader repairs nothing and needs no repair
        segment.begin();
        segment.rollback();
        const { version } = snapshotOf(segment);
        expect(version).toBe(seen);
        expectWhole(segment, { before, after: step }, from);
        const working = new Float64Array(segment.buffer("working", 0, imageBytes));
        expect(working).toEqual(snapshotOf(segment).cells);
        reached.add(version - from);
        if (version > from) before = step;
        if (!isDead) break;
        expect(step).toBeLessThan(60);
      }
      expect([...reached].sort()).toEqual(how === "commit" ? [0, 1] : [0]);
    },
    30_000,
  );

  test("in the middle of recovery leaves the same to whoever recovers next", async () => {
    for (const step of [5, 7, 9]) {
      const { name, segment } = create("nested");
      using _segment = segment;
      expect(await dies(name, step, 1, "commit")).toBe(true);
      const { version } = snapshotOf(segment);
      for (let again = 2; again <= 6; again += 2) await dies(name, again, 2, "rollback");
      segment.begin();
      segment.rollback();
      expect(expectWhole(segment, { before: 0, after: 1 }, 1)).toBe(version);
    }
  }, 30_000);

  test("and whose redo page is lost as well, is recovered in full: everything may have changed", async () => {
    const { name, segment } = create("redo");
    using _segment = segment;
    let step = 1;
    for (; segment.version === 1; step++) await dies(name, step, 1, "commit");
    const file = openSync(placeOf(name).data, "r+");
    writeSync(file, new Uint8Array(64).fill(255), 0, 64, 2 * 4096); // header page, hot page, redo page
    closeSync(file);
    segment.begin();
    segment.rollback();
    expect(snapshotOf(segment).version).toBe(2);
    expectCells(snapshotOf(segment).cells, 1);
    expect([...segment.changedSince(1).runs]).toEqual([0, imageBytes]);
    expect(segment.verify().damage).toEqual([]);
  }, 30_000);
});

test("whoever takes over an owned segment rings, also where nothing was to be mended", async () => {
  const name = uniqueName("ring");
  await takeOverAndRing(name);
  expect(clean({ names: [name] })).toEqual([name]); // the watcher was the last user, and was killed
});

async function takeOverAndRing(name: string): Promise<void> {
  const owner = Segment.create(name, spec);
  await using watcher = new Child("wakes.ts", [name]);
  expect(await watcher.line()).toBe("ready");
  owner.begin();
  new Float64Array(owner.buffer("working", 0, 8))[0] = 1;
  owner.touch(0, 8);
  owner.commit(); // and dies, as it were, before it rings
  owner.close();
  using next = Segment.attach(name, { mode: "rw" });
  expect(next.recovery).toBe("clean");
  expect(await watcher.line()).toBe("woken: version 1");
}
