import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { truncateSync } from "node:fs";
import { placeOf } from "../../src/memory/place.ts";
import { Segment } from "../../src/memory/segment.ts";
import { Child } from "./child.ts";
import { codeOf } from "./codes.ts";
import { uniqueName } from "./names.ts";

setDefaultTimeout(30_000);

const imageBytes = 4096;
const spec = { schemaText: "{}", imageBytes, metaOffset: 0 };

describe("closing", () => {
  test("detaches every view, those of parts and of both images, and twice is nothing", () => {
    for (const segment of [Segment.create(uniqueName("views"), spec), Segment.createPrivate(spec)]) {
      const buffers = [
        segment.buffer("working", 0, imageBytes),
        segment.buffer("committed", 64, 128),
        segment.overlay(32, 256),
      ];
      segment.begin();
      const lent = segment.lend(8, 64);
      const views = [...buffers, lent].map((buffer) => new Uint8Array(buffer));
      expect(views.map((view) => view.length)).toEqual([imageBytes, 128, 256, 64]);
      segment.close();
      expect(views.map((view) => [view.length, view[0]])).toEqual(views.map(() => [0, undefined]));
      for (const view of views) view[0] = 1; // into nothing
      segment.close();
      segment[Symbol.dispose]();
      expect(codeOf(() => segment.begin())).toBe("CLOSED");
      expect(codeOf(() => segment.snapshot(new Uint8Array(8)))).toBe("CLOSED");
      expect(codeOf(() => segment.verify())).toBe("CLOSED");
    }
  });

  test.each(["committed", "overlay"] as const)(
    "leaves %s memory mapped that somebody else has by a transferred buffer",
    (which) => {
      const segment = Segment.create(uniqueName("moved"), spec);
      const buffer =
        which === "overlay" ? segment.overlay(0, imageBytes) : segment.buffer(which, 0, imageBytes);
      const moved = new Uint8Array(structuredClone(buffer, { transfer: [buffer] }));
      segment.close();
      Bun.gc(true);
      expect(moved.length).toBe(imageBytes);
      expect(moved.every((byte) => byte === 0)).toBe(true); // and no crash
    },
  );

  test("gives all memory back: opening and closing a large segment many times", () => {
    const before = process.memoryUsage.rss();
    const large = { ...spec, imageBytes: 8 * 2 ** 20 };
    for (let i = 0; i < 30; i++) {
      using segment = Segment.createPrivate(large);
      const bytes = new Uint8Array(segment.buffer("working", 0, large.imageBytes));
      segment.begin();
      bytes.fill(i + 1);
      segment.touch(0, large.imageBytes);
      segment.commit();
    }
    expect(process.memoryUsage.rss() - before).toBeLessThan(10 * large.imageBytes);
  });

  test("at the end of a process that does not, the files go all the same", async () => {
    const name = uniqueName("exit");
    await using child = new Child("keep.ts", [name, "exit"]);
    await child.line();
    child.say("end");
    expect(await child.exited).toBe(0);
    expect(codeOf(() => Segment.attach(name))).toBe("NOT_FOUND");
  });
});

describe("lent buffers", () => {
  test("write the working image and are taken back at the end of the transaction, however it ends", () => {
    using segment = Segment.createPrivate(spec);
    const committed = new Uint8Array(segment.buffer("committed", 0, imageBytes));
    for (const end of ["commit", "rollback"] as const) {
      segment.begin();
      const lent = new Uint8Array(segment.lend(100, 4));
      lent.fill(7);
      segment.touch(100, 4);
      segment[end]();
      expect([lent.length, committed[100]]).toEqual([0, 7]);
    }
  });

  test("lie inside of the image", () => {
    using segment = Segment.createPrivate(spec);
    for (const [offset, bytes] of [
      [-1, 4],
      [0, 0],
      [0, imageBytes + 1],
      [imageBytes, 1],
      [NaN, 4],
    ] as const)
      expect(codeOf(() => segment.lend(offset, bytes))).toBe("INVALID_REGION");
  });
});

describe("a file that is cut", () => {
  test("costs its users their views and an error, at any size and for any access, but not their lives", () => {
    for (const size of [0, 100, 4096, 8192, 12_000, 20_000]) {
      for (const writers of ["one", "many"] as const) {
        const name = uniqueName("cut");
        using owner = Segment.create(name, { ...spec, imageBytes: 2 ** 16 }, { writers });
        using reader = Segment.attach(name);
        const views = [owner, reader].map(
          (segment) => new Uint8Array(segment.buffer("committed", 0, 2 ** 16)),
        );
        truncateSync(placeOf(name).data, size);
        for (const view of views) expect(view[40_000]).toBe(0);
        expect(codeOf(() => reader.snapshot(new Uint8Array(64)))).toBe("TRUNCATED");
        expect(codeOf(() => reader.changedSince(0))).toBe("TRUNCATED");
        expect(codeOf(() => reader.verify())).toBe("TRUNCATED");
        expect(codeOf(() => owner.checkWhole())).toBe("TRUNCATED");
        for (let i = 0; i < 2; i++) expect(codeOf(() => owner.begin())).toBe("TRUNCATED");
        expect(views.map((view) => view.length)).toEqual([0, 0]);
        expect(codeOf(() => Segment.attach(name))).toMatch(/TRUNCATED|FORMAT/);
      }
    }
  });

  test("in the middle of a transaction: neither commit nor rollback says that all is well", () => {
    for (const end of ["commit", "rollback"] as const) {
      const name = uniqueName("cut-inside");
      using owner = Segment.create(name, spec);
      const bytes = new Uint8Array(owner.buffer("working", 0, imageBytes));
      owner.begin();
      truncateSync(placeOf(name).data, 4096);
      bytes.fill(1);
      owner.touch(0, imageBytes);
      expect(codeOf(() => owner[end]())).toBe("TRUNCATED");
      expect(codeOf(() => owner.begin())).toBe("TRUNCATED");
    }
  });
});
