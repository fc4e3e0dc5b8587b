import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { closeSync, openSync, readSync, writeSync } from "node:fs";
import { placeOf } from "../../src/memory/place.ts";
import { Segment } from "../../src/memory/segment.ts";
import type { DamagedBlocks } from "../../src/memory/verification.ts";
import { codeOf } from "./codes.ts";
import { uniqueName } from "./names.ts";

setDefaultTimeout(30_000);

const imageBytes = 4096 + 40; // the last block is cut short
const spec = { schemaText: '{"test":true}', imageBytes, metaOffset: 0 };
const page = 4096;
/** Where the parts of this segment lie: memblast.h. */
const offsets = {
  header: 0,
  hot: page,
  redo: 2 * page,
  table: 3 * page,
  working: 4 * page,
  committed: 6 * page,
};
const blockCount = 65;

let name: string;
let segment: Segment;
let file: number;

beforeEach(() => {
  name = uniqueName("verify");
  segment = Segment.create(name, spec);
  file = openSync(placeOf(name).data, "r+");
});
afterEach(() => {
  closeSync(file);
  segment.close();
});

/** Commits other random bytes in these blocks. */
function commit(...blocks: number[]): void {
  const bytes = new Uint8Array(segment.buffer("working", 0, imageBytes));
  segment.begin();
  for (const block of blocks) {
    crypto.getRandomValues(bytes.subarray(block * 64, Math.min(block * 64 + 64, imageBytes)));
    segment.touch(block * 64, 1);
  }
  segment.commit();
}

/** As another process would that has the file open and no idea of what it is. */
function flip(at: number, mask = 0xff): void {
  const byte = new Uint8Array(1);
  readSync(file, byte, 0, 1, at);
  byte[0]! ^= mask;
  writeSync(file, byte, 0, 1, at);
}

function whileFlipped<T>(at: number, action: () => T): T {
  flip(at);
  try {
    return action();
  } finally {
    flip(at);
  }
}

function damage(): readonly DamagedBlocks[] {
  return segment.verify().damage;
}

describe("verify", () => {
  test("finds nothing where nothing is wrong: before the first commit, after commits, rollbacks and further looks", () => {
    expect(segment.verify()).toEqual({ version: 0, isFirst: true, damage: [] });
    for (let i = 1; i <= 20; i++) {
      commit(i, 2 * i, 64);
      segment.begin();
      segment.touch(0, 100);
      if (i % 2) segment.rollback();
      else segment.commit();
      expect(segment.verify()).toEqual({ version: i, isFirst: false, damage: [] });
    }
  });

  test("finds every single byte changed in the working and the committed image, and says which image and block", () => {
    commit(0, 1, 7, 30, 64);
    segment.verify();
    for (const part of ["working", "committed"] as const)
      for (let at = 0; at < imageBytes; at++) {
        const found = whileFlipped(offsets[part] + at, damage);
        const offset = at - (at % 64);
        expect(found).toEqual([{ part: `${part} image`, offset, bytes: Math.min(64, imageBytes - offset) }]);
      }
    expect(damage()).toEqual([]);
  });

  test("finds every single byte changed in the header, the redo page, the version table, and the words that decide", () => {
    for (let i = 0; i < 70; i++) commit(i % 65, (i * 7) % 65);
    segment.verify();
    const redoRuns = 2;
    const parts: [string, number, number][] = [
      ["header", offsets.header, page],
      ["state words", offsets.hot, 8], // seq
      ["state words", offsets.hot + 64, 8], // begin
      ["state words", offsets.hot + 256, 4], // phase
      ["redo page", offsets.redo, 16 + 8 * redoRuns],
      ["version table", offsets.table, 8 * (blockCount + 2 + 1)], // the blocks, 64 of them under one, and the top
    ];
    for (const [part, from, length] of parts)
      for (let at = from; at < from + length; at++) {
        const found = whileFlipped(at, damage);
        expect([at, [...new Set(found.map((each) => each.part))]]).toEqual([at, [part]] as never);
      }
    expect(damage()).toEqual([]);
  });

  test("names the blocks whose versions were changed in the table", () => {
    commit(3);
    commit(40);
    segment.verify();
    expect(whileFlipped(offsets.table + 8 * 5, damage)).toContainEqual({
      part: "version table",
      offset: 5 * 64,
      bytes: 64,
    });
  });

  test("finds the same changes in both images, and holes that leave zeros everywhere", () => {
    commit(...Array(65).keys());
    segment.verify();
    flip(offsets.working + 700);
    flip(offsets.committed + 700);
    expect(damage()).toEqual([{ part: "both images", offset: 640, bytes: 64 }]);
    flip(offsets.working + 700);
    flip(offsets.committed + 700);
    const punch = Bun.spawnSync([
      "fallocate",
      "-p",
      "-o",
      `${offsets.working}`,
      "-l",
      `${page}`,
      placeOf(name).data,
    ]);
    if (punch.exitCode !== 0) return; // no such tool here
    expect(damage()).toEqual([{ part: "working image", offset: 0, bytes: page }]);
    Bun.spawnSync(["fallocate", "-p", "-o", "0", "-l", `${8 * page}`, placeOf(name).data]);
    const parts = new Set(damage().map((each) => each.part));
    expect(parts).toEqual(new Set(["header", "version table", "both images"]));
  });

  test("a write into the working image outside of a transaction shows, before and after the next look", () => {
    commit(1, 2);
    const kept = new Uint8Array(segment.buffer("working", 0, imageBytes));
    kept[130]! ^= 1; // before anything is known, one cannot tell which image is right
    expect(segment.verify()).toEqual({
      version: 1,
      isFirst: true,
      damage: [{ part: "either image", offset: 128, bytes: 64 }],
    });
    kept[130]! ^= 1;
    expect(damage()).toEqual([]);
    kept[130]! ^= 1;
    expect(damage()).toEqual([{ part: "working image", offset: 128, bytes: 64 }]);
    commit(2); // the whole block becomes a version: nothing is wrong any more, and the byte is in it
    expect(damage()).toEqual([]);
  });

  test("what is damaged is not learnt, and a commit of the block mends it", () => {
    commit(5, 6);
    segment.verify();
    flip(offsets.committed + 5 * 64);
    for (let i = 0; i < 3; i++)
      expect(damage()).toEqual([{ part: "committed image", offset: 320, bytes: 64 }]);
    commit(6);
    expect(damage()).toEqual([{ part: "committed image", offset: 320, bytes: 64 }]);
    commit(5);
    expect(damage()).toEqual([]);
  });

  test("a reader finds what changed in the committed image and the header, beside its writer", () => {
    commit(1, 2, 3);
    using reader = Segment.attach(name);
    expect(reader.verify()).toEqual({ version: 1, isFirst: true, damage: [] });
    commit(2, 9);
    expect(reader.verify()).toEqual({ version: 2, isFirst: false, damage: [] });
    for (let at = 0; at < imageBytes; at += 13) {
      const found = whileFlipped(offsets.committed + at, () => reader.verify().damage);
      expect(found.map((each) => [each.part, each.offset])).toEqual([["committed image", at - (at % 64)]]);
    }
    expect(whileFlipped(100, () => reader.verify().damage)).toEqual([
      { part: "header", offset: 0, bytes: page },
    ]);
    expect(whileFlipped(offsets.working, () => reader.verify().damage)).toEqual([]);
  });

  test("a reader finds versions in the table that no commit has had yet, and does not wait for them", () => {
    const other = uniqueName("verify-table");
    const large = { schemaText: "{}", imageBytes: 64 * 2 ** 16, metaOffset: 0 };
    using writer = Segment.create(other, large);
    using reader = Segment.attach(other);
    expect(reader.verify().damage).toEqual([]);
    const fd = openSync(placeOf(other).data, "r+");
    writeSync(fd, new Uint8Array(8 * 2 ** 16).fill(7), 0, 8 * 2 ** 16, offsets.table);
    closeSync(fd);
    const times = [reader, writer].map((each) => {
      const begun = performance.now();
      const { damage } = each.verify();
      expect(damage).toContainEqual({ part: "version table", offset: 0, bytes: large.imageBytes });
      return performance.now() - begun;
    });
    expect(times[0]).toBeLessThan(20 * times[1]!);
  });

  test("is refused inside of a transaction", () => {
    segment.begin();
    expect(codeOf(() => segment.verify())).toBe("NESTED_WRITE");
    segment.rollback();
  });

  test("with many writers it takes a turn", () => {
    const other = uniqueName("verify-many");
    using first = Segment.create(other, spec, { writers: "many" });
    using second = Segment.attach(other, { mode: "rw" });
    first.begin();
    expect(codeOf(() => second.verify())).toBe("NESTED_WRITE");
    first.rollback();
    expect(second.verify().damage).toEqual([]);
    first.begin();
    first.commit();
  });

  test("names more stretches than it first made room for", () => {
    const large = uniqueName("verify-large");
    using many = Segment.create(large, { ...spec, imageBytes: 64 * 4000 });
    many.verify();
    const kept = new Uint8Array(many.buffer("working", 0, 64 * 4000));
    for (let block = 0; block < 4000; block += 2) kept[block * 64] = 1;
    const found = many.verify();
    expect(found.isFirst).toBe(false);
    expect(found.damage.length).toBe(2000);
    expect(found.damage.at(-1)).toEqual({ part: "working image", offset: 64 * 3998, bytes: 64 });
  });
});
