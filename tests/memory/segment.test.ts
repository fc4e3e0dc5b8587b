import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { linkSync, symlinkSync, truncateSync, writeFileSync, chmodSync, rmSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { MemblastError } from "../../src/errors.ts";
import { Segment } from "../../src/memory/segment.ts";
import { placeOf } from "../../src/memory/place.ts";
import { filesOf, uniqueName } from "./names.ts";

setDefaultTimeout(30_000);

const spec = (imageBytes: number) => ({ schemaText: '{"test":true}', imageBytes, metaOffset: 0 });

function codeOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (error instanceof MemblastError) return error.code;
    throw error;
  }
  return "none";
}

/** Opens a transaction, writes f64 cells, commits. */
function writeCells(segment: Segment, working: Float64Array, cells: Record<number, number>): number {
  segment.begin();
  for (const [index, value] of Object.entries(cells)) {
    working[Number(index)] = value;
    segment.touch(Number(index) * 8, 8);
  }
  return segment.commit();
}

function images(segment: Segment): { working: Float64Array; committed: Float64Array } {
  const bytes = segment.imageBytes;
  return {
    working: new Float64Array(segment.buffer("working", 0, bytes)),
    committed: new Float64Array(segment.buffer("committed", 0, bytes)),
  };
}

describe("commit", () => {
  test("makes a version of what changed, and none of what did not", () => {
    using segment = Segment.createPrivate(spec(4096));
    const { working, committed } = images(segment);
    expect(writeCells(segment, working, { 3: 1.5, 100: 2 })).toBe(2);
    expect(segment.version).toBe(1);
    expect([committed[3], committed[100]]).toEqual([1.5, 2]);
    expect(writeCells(segment, working, { 3: 1.5 })).toBe(0);
    expect(segment.version).toBe(1);
  });

  test("compares bits: a NaN that stays is no change, 0 to -0 is one", () => {
    using segment = Segment.createPrivate(spec(64));
    const { working } = images(segment);
    expect(writeCells(segment, working, { 0: NaN })).toBe(1);
    expect(writeCells(segment, working, { 0: NaN })).toBe(0);
    expect(writeCells(segment, working, { 1: -0 })).toBe(1);
    expect(segment.version).toBe(2);
  });

  test("rollback leaves no trace", () => {
    using segment = Segment.createPrivate(spec(64 * 1024));
    const { working, committed } = images(segment);
    writeCells(segment, working, { 0: 1, 5000: 2 });
    segment.begin();
    working.fill(9);
    segment.touch(0, segment.imageBytes);
    segment.rollback();
    expect(working).toEqual(committed);
    expect(segment.version).toBe(1);
    expect(writeCells(segment, working, { 7: 7 })).toBe(1);
    expect(segment.counters.rollbacks).toBe(1);
  });

  test("refuses nesting, and ends without a beginning", () => {
    using segment = Segment.createPrivate(spec(64));
    expect(codeOf(() => segment.commit())).toBe("NOT_IN_WRITE");
    expect(codeOf(() => segment.rollback())).toBe("NOT_IN_WRITE");
    segment.begin();
    expect(codeOf(() => segment.begin())).toBe("NESTED_WRITE");
    segment.commit();
  });

  test("more changed runs than the redo page holds are all committed and stamped exactly", () => {
    using segment = Segment.createPrivate(spec(64 * 4000));
    const { working, committed } = images(segment);
    const cells = Object.fromEntries(Array.from({ length: 1500 }, (_, i) => [i * 16, i + 1]));
    expect(writeCells(segment, working, cells)).toBe(1500);
    expect(committed).toEqual(working);
    expect(segment.changedSince(0).runs.length / 2).toBe(1500);
  });
});

describe("changedSince", () => {
  test("equals a table kept by hand, for any commits, clips and image sizes", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 300_000 }),
        fc.array(fc.array(fc.integer({ min: 0, max: 1 << 20 }), { minLength: 1, maxLength: 8 }), {
          maxLength: 12,
        }),
        fc.integer({ min: 0, max: 12 }),
        fc.array(fc.tuple(fc.nat(1 << 20), fc.nat(5000)), { maxLength: 5 }),
        (cells, commits, since, clipSeeds) => {
          using segment = Segment.createPrivate(spec(cells));
          const working = new Uint8Array(segment.buffer("working", 0, cells));
          const stamps = new Map<number, number>();
          let version = 0;
          for (const commit of commits) {
            segment.begin();
            const changed = new Set<number>();
            for (const seed of commit) {
              const at = seed % cells;
              working[at]! ^= 1;
              segment.touch(at, 1);
              if (changed.has(at)) changed.delete(at);
              else changed.add(at);
            }
            segment.commit();
            if (changed.size) version++;
            for (const at of changed) stamps.set(Math.floor(at / segment.blockBytes), version);
          }
          const clip = normal(
            clipSeeds.map(([start, length]) => [start % cells, Math.min(length, cells - (start % cells))]),
          );
          const expected = new Set<number>();
          for (const [block, stamp] of stamps)
            if (stamp > since)
              for (let i = 0; i < segment.blockBytes; i++) {
                const at = block * segment.blockBytes + i;
                if (at < cells && clip.some(([a, n]) => at >= a! && at < a! + n!)) expected.add(at);
              }
          const got = segment.changedSince(since, new Float64Array(clip.flat()));
          const bytes = new Set<number>();
          for (let i = 0; i < got.runs.length; i += 2)
            for (let at = got.runs[i]!; at < got.runs[i]! + got.runs[i + 1]!; at++) bytes.add(at);
          expect(got.version).toBe(version);
          expect(bytes).toEqual(expected);
        },
      ),
      { numRuns: 150 },
    );
  });
});

/** Sorted, disjoint, non-empty. */
function normal(runs: number[][]): number[][] {
  const out: number[][] = [];
  for (const [start, length] of runs.filter((run) => run[1]! > 0).sort((a, b) => a[0]! - b[0]!)) {
    const last = out.at(-1);
    if (last && start! <= last[0]! + last[1]!) last[1] = Math.max(last[1]!, start! + length! - last[0]!);
    else out.push([start!, length!]);
  }
  return out;
}

describe("regions", () => {
  test("gather and scatter are inverse, and scatter of what is there makes no version", () => {
    using segment = Segment.createPrivate(spec(8192));
    segment.begin();
    const from = crypto.getRandomValues(new Uint8Array(300));
    segment.scatter(from, new Float64Array([4000, 0, 100, 10, 100, 200]));
    segment.commit();
    const back = new Uint8Array(300);
    segment.gather(new Float64Array([4000, 100, 10, 200]), back);
    expect(back).toEqual(from);
    segment.begin();
    segment.scatter(from, new Float64Array([4000, 0, 100, 10, 100, 200]));
    expect(segment.commit()).toBe(0);
  });

  test.each([[[8100, 0, 100]], [[0, 250, 100]], [[-1, 0, 1]], [[NaN, 0, 1]], [[0, 0, 2 ** 60]]])(
    "scatter outside of its bounds is refused: %j",
    (piece) => {
      using segment = Segment.createPrivate(spec(8192));
      segment.begin();
      expect(codeOf(() => segment.scatter(new Uint8Array(300), new Float64Array(piece)))).toBe(
        "INVALID_REGION",
      );
      segment.rollback();
    },
  );
});

describe("named segments", () => {
  test("a second process attaches by name and sees a commit, without any socket", async () => {
    const name = uniqueName("attach");
    using segment = Segment.create(name, spec(4096));
    const { working } = images(segment);
    writeCells(segment, working, { 1: 41 });
    const child = Bun.spawn(["bun", join(import.meta.dir, "children/watch_cell.ts"), name, "1", "42"], {
      stdout: "pipe",
      stderr: "inherit",
    });
    const lines = child.stdout.getReader();
    const first = new TextDecoder().decode((await lines.read()).value);
    expect(first.trim()).toBe("version 1: 41");
    writeCells(segment, working, { 1: 42 });
    segment.ring();
    const rest = new TextDecoder().decode((await lines.read()).value);
    expect(rest.trim()).toBe("version 2: 42");
    expect(await child.exited).toBe(0);
  });

  test("snapshots taken while another process commits as fast as it can are whole versions", async () => {
    const name = uniqueName("saturated");
    const child = Bun.spawn(["bun", join(import.meta.dir, "children/saturate.ts"), name], {
      stdout: "pipe",
      stderr: "inherit",
    });
    await child.stdout.getReader().read();
    using segment = Segment.attach(name);
    const copy = new Float64Array(segment.imageBytes / 8);
    let last = 0;
    let distinct = 0;
    const start = performance.now();
    const passed = () => performance.now() - start;
    while (passed() < 400 || (distinct <= 10 && passed() < 4000)) {
      const version = segment.snapshot(new Uint8Array(copy.buffer));
      expect(version).toBeGreaterThanOrEqual(last);
      if (version !== last) distinct++;
      last = version;
      // the writer puts the version into one cell of its choice and the sum of all others into cell 0
      let sum = 0;
      for (let i = 1; i < copy.length; i++) sum += copy[i]!;
      expect(copy[0]).toBe(sum);
    }
    expect(distinct).toBeGreaterThan(10);
    child.kill("SIGKILL");
    await child.exited;
  });

  test("vanish with the last user, or stay if asked to", () => {
    const name = uniqueName("vanish");
    const owner = Segment.create(name, spec(64));
    const reader = Segment.attach(name);
    owner.close();
    expect(filesOf(name).length).toBe(2);
    reader.close();
    reader.close();
    expect(filesOf(name)).toEqual([]);

    Segment.create(name, spec(64), { persist: true }).close();
    expect(filesOf(name).length).toBe(2);
    const again = Segment.create(name, spec(64));
    expect(again.persist).toBe(true);
    again.close();
    rmSync(placeOf(name).data);
    rmSync(placeOf(name).lock);
  });

  test("closing detaches every view", () => {
    const segment = Segment.create(uniqueName("detach"), spec(4096));
    const { working, committed } = images(segment);
    segment.close();
    expect([working.length, committed.length]).toEqual([0, 0]);
    expect(codeOf(() => segment.version)).toBe("CLOSED");
    expect(codeOf(() => segment.begin())).toBe("CLOSED");
  });

  test("one writer: the second gets EXISTS or LOCKED, and reading goes on", () => {
    const name = uniqueName("owner");
    using owner = Segment.create(name, spec(64));
    expect(codeOf(() => Segment.create(name, spec(64)))).toBe("EXISTS");
    expect(codeOf(() => Segment.attach(name, { mode: "rw" }))).toBe("LOCKED");
    using reader = Segment.attach(name);
    expect(codeOf(() => reader.begin())).toBe("READ_ONLY");
    expect(reader.incarnation).toBe(owner.incarnation);
    expect(reader.schemaText).toBe('{"test":true}');
  });

  test("what should not be opened is refused with its reason", () => {
    const name = uniqueName("unsafe");
    expect(codeOf(() => Segment.attach(name))).toBe("NOT_FOUND");
    expect(filesOf(name)).toEqual([]);
    expect(codeOf(() => Segment.attach("no such name"))).toBe("INVALID_NAME");

    const { data } = placeOf(name);
    using owner = Segment.create(name, spec(4096));
    owner.begin();
    owner.commit();
    chmodSync(data, 0o666);
    expect(codeOf(() => Segment.attach(name))).toBe("UNSAFE_FILE");
    chmodSync(data, 0o600);
    linkSync(data, `${data}.hard`);
    expect(codeOf(() => Segment.attach(name))).toBe("UNSAFE_FILE");
    rmSync(`${data}.hard`);

    const other = uniqueName("symlink");
    symlinkSync(data, placeOf(other).data);
    writeFileSync(placeOf(other).lock, "", { mode: 0o600 });
    expect(codeOf(() => Segment.attach(other))).toBe("UNSAFE_FILE");
    rmSync(placeOf(other).data);
    rmSync(placeOf(other).lock);
  });

  test("a truncated file is an error, not a crash", () => {
    const name = uniqueName("truncate");
    using owner = Segment.create(name, spec(1 << 20));
    using reader = Segment.attach(name);
    const committed = new Uint8Array(reader.buffer("committed", 0, 1 << 20));
    truncateSync(placeOf(name).data, 8192);
    expect(committed[100_000]).toBe(0);
    expect(codeOf(() => reader.snapshot(new Uint8Array(1 << 20)))).toBe("TRUNCATED");
    expect(reader.isTruncated).toBe(true);
    owner.begin();
    owner.touch(0, 1 << 20);
    expect(codeOf(() => owner.commit())).toBe("TRUNCATED");
    expect(codeOf(() => Segment.attach(name))).toBe("TRUNCATED");
  });
});
