import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { copyFileSync, renameSync, rmSync } from "node:fs";
import { clean } from "../../src/memory/listing.ts";
import { placeOf } from "../../src/memory/place.ts";
import { Segment } from "../../src/memory/segment.ts";
import { uniqueName } from "./names.ts";

setDefaultTimeout(30_000);

const imageBytes = 4096;
const spec = { schemaText: "{}", imageBytes, metaOffset: 4032 };
const names: string[] = [];

afterAll(() => void clean({ names, persistent: true }));

/** Opens it to write, commits, and leaves the files in place. */
function live(name: string, commits: number): { incarnation: string; version: number } {
  using segment = Segment.create(name, spec, { persist: true });
  const bytes = new Uint8Array(segment.buffer("working", 0, imageBytes));
  for (let i = 0; i < commits; i++) {
    segment.begin();
    bytes[i]!++;
    segment.touch(i, 1);
    segment.commit();
  }
  return { incarnation: segment.incarnation, version: segment.version };
}

function persistent(): { name: string; data: string; lock: string } {
  const name = uniqueName("renewal");
  names.push(name);
  const { data, lock } = placeOf(name);
  return { name, data, lock };
}

test("who goes on with the file that the last writer left goes on in its incarnation", () => {
  const { name } = persistent();
  const first = live(name, 3);
  for (let i = 1; i <= 5; i++)
    expect(live(name, 1)).toEqual({ incarnation: first.incarnation, version: 3 + i });
});

for (const [how, putBack] of [
  ["over it", copyFileSync],
  ["in its place", renameSync],
] as const)
  test(`an old copy put back ${how}, with its lock file, is another incarnation, each time, and stays it`, () => {
    const { name, data, lock } = persistent();
    const seen = [live(name, 3).incarnation];
    for (let i = 0; i < 3; i++) {
      for (const file of [data, lock]) copyFileSync(file, `${file}.kept`);
      const later = live(name, 4);
      expect(later.incarnation).toBe(seen.at(-1)!);
      Bun.sleepSync(20); // files get their times in steps of some milliseconds
      for (const file of [data, lock]) putBack(`${file}.kept`, file);
      const restored = live(name, 1);
      expect(restored.version).toBe(later.version - 3);
      expect(seen).not.toContain(restored.incarnation);
      seen.push(restored.incarnation);
    }
    using reader = Segment.attach(name);
    expect(reader.incarnation).toBe(seen.at(-1)!);
    for (const file of [data, lock]) rmSync(`${file}.kept`, { force: true });
  });

test("so is one that is put back alone, some seconds later", () => {
  const { name, data } = persistent();
  const first = live(name, 3);
  copyFileSync(data, `${data}.kept`);
  live(name, 4);
  Bun.sleepSync(2100);
  copyFileSync(`${data}.kept`, data);
  expect(live(name, 1).incarnation).not.toBe(first.incarnation);
  rmSync(`${data}.kept`);
});
