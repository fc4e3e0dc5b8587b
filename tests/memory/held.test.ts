import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { Held } from "../../src/memory/held.ts";
import { Segment } from "../../src/memory/segment.ts";
import { uniqueName } from "./names.ts";

setDefaultTimeout(30_000);

const spec = (imageBytes: number) => ({ schemaText: "{}", imageBytes, metaOffset: 0 });
const residentBytes = () => process.memoryUsage.rss();

describe("held memory", () => {
  test("is zeros, live in all views of it, and detached by the release", () => {
    const held = new Held(8192);
    const [whole, part] = [new Uint8Array(held.buffer(0, 8192)), new Uint8Array(held.buffer(4096, 64))];
    expect(whole.every((byte) => byte === 0)).toBe(true);
    whole[4097] = 7;
    expect(part[1]).toBe(7);
    expect(held.isShared).toBe(false);
    held.release();
    held.release();
    expect([whole.length, part.length]).toEqual([0, 0]);
  });

  test("is given back, by the release and by the garbage collector", async () => {
    const bytes = 64 * 2 ** 20;
    const before = residentBytes();
    for (let i = 0; i < 20; i++) {
      using held = new Held(bytes);
      new Uint8Array(held.buffer(0, bytes)).fill(1);
    }
    for (let i = 0; i < 20; i++) {
      new Uint8Array(new Held(bytes).buffer(0, bytes)).fill(1);
      Bun.gc(true);
      await Bun.sleep(0); // registries call back between two jobs
    }
    expect(residentBytes() - before).toBeLessThan(10 * bytes);
  });

  test("stays as long as a view of it can be reached", async () => {
    const views = Array.from({ length: 8 }, (_, i) => new Uint8Array(new Held(4096).buffer(0, 4096)).fill(i));
    for (let i = 0; i < 5; i++) {
      Bun.gc(true);
      await Bun.sleep(0);
    }
    expect(views.map((view) => view[4095])).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  });
});

describe("refresh", () => {
  test("equals a snapshot after any commits, for any pieces (oracle)", () => {
    const imageBytes = 40_000;
    using segment = Segment.createPrivate(spec(imageBytes));
    const working = new Uint8Array(segment.buffer("working", 0, imageBytes));
    let seed = 4711;
    const random = (below: number) => (seed = (Math.imul(seed, 1103515245) + 12345) >>> 0) % below;
    const pieces = Float64Array.of(30_000, 0, 9_000, 64, 9_024, 20_001);
    using held = new Held(32_768);
    const bytes = new Uint8Array(held.buffer(0, 32_768));
    const whole = new Uint8Array(imageBytes);
    let version = 0;
    for (let round = 0; round < 300; round++) {
      for (let commits = random(4); commits > 0; commits--) {
        segment.begin();
        for (let cells = 1 + random(5); cells > 0; cells--) {
          const at = random(imageBytes);
          working[at] = random(256);
          segment.touch(at, 1);
        }
        segment.commit();
      }
      version = segment.refreshPieces(held, pieces, version);
      expect(version).toBe(segment.snapshot(whole));
      expect(bytes.subarray(0, 9_000)).toEqual(whole.subarray(30_000, 39_000));
      expect(bytes.subarray(9_024, 29_025)).toEqual(whole.subarray(64, 20_065));
    }
  });

  test("copies only what changed", () => {
    using segment = Segment.createPrivate(spec(4096));
    const working = new Uint8Array(segment.buffer("working", 0, 4096));
    using held = new Held(4096);
    const bytes = new Uint8Array(held.buffer(0, 4096));
    const commit = (at: number) => {
      segment.begin();
      working[at]!++;
      segment.touch(at, 1);
      segment.commit();
    };
    commit(100);
    const version = segment.refreshPieces(held, Float64Array.of(0, 0, 4096), 0);
    bytes.fill(9);
    commit(200);
    expect(segment.refreshPieces(held, Float64Array.of(0, 0, 4096), version)).toBe(2);
    expect([bytes[100], bytes[200], bytes[191], bytes[256]]).toEqual([9, 1, 9, 9]);
  });

  test.each([[[4096, 0, 1]], [[0, 4090, 10]], [[0, 0, 0]], [[-8, 0, 8]]])(
    "refuses pieces outside of image or memory: %j",
    (piece) => {
      using segment = Segment.createPrivate(spec(4096));
      using held = new Held(4096);
      expect(() => segment.refreshPieces(held, new Float64Array(piece), 0)).toThrow(/outside/);
    },
  );

  test("is a whole version while another process commits as fast as it can", async () => {
    const name = uniqueName("refreshed");
    const child = Bun.spawn(["bun", join(import.meta.dir, "children/saturate.ts"), name], {
      stdout: "pipe",
      stderr: "inherit",
    });
    await child.stdout.getReader().read();
    using segment = Segment.attach(name);
    using held = new Held(segment.imageBytes);
    const cells = new Float64Array(held.buffer(0, segment.imageBytes));
    const versions = new Set<number>();
    let version = 0;
    for (const end = performance.now() + 400; performance.now() < end;) {
      version = segment.refreshPieces(held, Float64Array.of(0, 0, segment.imageBytes), version);
      versions.add(version);
      // the writer puts the version into one cell of its choice and the sum of all others into cell 0
      let sum = 0;
      for (let i = 1; i < cells.length; i++) sum += cells[i]!;
      expect(cells[0]).toBe(sum);
    }
    expect(versions.size).toBeGreaterThan(10);
    child.kill("SIGKILL");
    await child.exited;
  });
});
