import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, rmSync } from "node:fs";
import { placeOf, segmentDirectory } from "../../src/memory/place.ts";
import { Segment } from "../../src/memory/segment.ts";
import { Child } from "./child.ts";
import { codeOf, errorOf } from "./codes.ts";
import { filesOf, uniqueName } from "./names.ts";

setDefaultTimeout(30_000);

const spec = { schemaText: '{"test":true}', imageBytes: 4096, metaOffset: 0 };

describe("one writer", () => {
  test("the second who creates gets EXISTS, or attaches for reading if asked", () => {
    const name = uniqueName("second");
    using owner = Segment.create(name, spec);
    expect(owner.access).toBe("own");
    const { code, message } = errorOf(() => Segment.create(name, spec));
    expect(code).toBe("EXISTS");
    expect(message).toContain("is written by this process already: attach() to it");
    using second = Segment.create(name, spec, { ifExists: "attach" });
    expect([second.access, second.incarnation]).toEqual(["read", owner.incarnation]);
    expect(codeOf(() => second.begin())).toBe("READ_ONLY");
  });

  test("writing goes on to the next when the owner is gone; readers stay", () => {
    const name = uniqueName("next");
    const owner = Segment.create(name, spec);
    using reader = Segment.attach(name);
    const refused = errorOf(() => Segment.attach(name, { mode: "rw" }));
    expect(refused.code).toBe("LOCKED");
    expect(refused.message).toContain(`this process (${process.pid})`);
    owner.close();
    using next = Segment.create(name, spec);
    expect([next.access, next.incarnation]).toEqual(["own", reader.incarnation]);
    next.close();
    using attached = Segment.attach(name, { mode: "rw" });
    expect(attached.access).toBe("own");
  });
});

describe("many writers", () => {
  const many = { writers: "many" } as const;

  test("the second who creates gets EXISTS, or joins if asked; who attaches to write joins", () => {
    const name = uniqueName("join");
    using first = Segment.create(name, spec, many);
    expect([first.access, first.writers]).toEqual(["turns", "many"]);
    const { code, message } = errorOf(() => Segment.create(name, spec, many));
    expect(code).toBe("EXISTS");
    expect(message).toContain("is written by others, in turn");
    using second = Segment.create(name, spec, { ...many, ifExists: "attach" });
    using third = Segment.attach(name, { mode: "rw" });
    expect([second.access, third.access]).toEqual(["turns", "turns"]);
    for (const [i, segment] of [first, second, third].entries()) {
      const cells = new Float64Array(segment.buffer("working", 0, 4096));
      segment.begin();
      cells[i] = i + 1;
      segment.touch(8 * i, 8);
      segment.commit();
    }
    const seen = new Float64Array(3);
    using reader = Segment.attach(name);
    expect(reader.snapshot(new Uint8Array(seen.buffer))).toBe(3);
    expect([...seen]).toEqual([1, 2, 3]);
  });

  test("is laid down in the segment: nobody owns it, and nobody joins one that is owned", () => {
    const name = uniqueName("mixed");
    using _many = Segment.create(name, spec, many);
    for (const action of [
      () => Segment.create(name, spec, { ifExists: "attach" }),
      () => Segment.attach(name, { mode: "rw", writers: "one" }),
      () => Segment.attach(name, { writers: "one" }),
    ]) {
      const error = errorOf(action);
      expect(error.code).toBe("SCHEMA_MISMATCH");
      expect(error.details["difference"]).toBe('writers "one" expected, "many" found');
    }
    const other = uniqueName("mixed");
    using _one = Segment.create(other, spec);
    expect(codeOf(() => Segment.attach(other, { mode: "rw", ...many }))).toBe("SCHEMA_MISMATCH");
    expect(codeOf(() => Segment.create(other, spec, { ...many, ifExists: "attach" }))).toBe(
      "SCHEMA_MISMATCH",
    );
  });

  test("the last writer's segment is taken over as it is, also with readers", () => {
    const name = uniqueName("left");
    const first = Segment.create(name, spec, many);
    using _reader = Segment.attach(name);
    expect(codeOf(() => Segment.create(name, spec))).toBe("EXISTS");
    first.close();
    expect(codeOf(() => Segment.create(name, spec))).toBe("SCHEMA_MISMATCH");
    using again = Segment.create(name, spec, many);
    expect(again.incarnation).toBe(first.incarnation);
  });
});

describe("creators at the same time", () => {
  test("one wins, the others get EXISTS, and nobody sees a file that is not finished", async () => {
    const name = uniqueName("race");
    const children = Array.from({ length: 6 }, () => new Child("create.ts", [name, 12]));
    try {
      for (const child of children) await child.line();
      for (const child of children) child.say("go");
      const results: string[][] = [];
      for (const child of children) results.push(await child.json<string[]>());
      for (let round = 0; round < 12; round++) {
        const outcomes = results.map((result) => result[round]!);
        expect(outcomes.filter((outcome) => outcome === "created").length).toBe(1);
        expect(new Set(outcomes)).toEqual(new Set(["created", "EXISTS"]));
      }
    } finally {
      for (const child of children) await child[Symbol.asyncDispose]();
      for (const file of filesOf(name)) rmSync(`${segmentDirectory()}/${file}`);
    }
  });

  test("a creation that fails leaves nothing", () => {
    const name = uniqueName("failed");
    expect(codeOf(() => Segment.create(name, { ...spec, imageBytes: 2 ** 47 }))).toBe("NO_SPACE");
    expect(codeOf(() => Segment.create(name, { ...spec, imageBytes: 2 ** 49 }))).toBe("TOO_LARGE");
    expect(codeOf(() => Segment.create(name, { ...spec, schemaText: "" }))).toBe("TOO_LARGE");
    expect(filesOf(name)).toEqual([]);
    expect(readdirSync(segmentDirectory()).filter((file) => file.includes(name))).toEqual([]);
  });
});

describe("the last user", () => {
  test("removes the files, also when two leave at the same time", async () => {
    const name = uniqueName("leaving");
    const owner = Segment.create(name, spec);
    const children = Array.from({ length: 6 }, () => new Child("leave.ts", [name]));
    try {
      for (const child of children) await child.line();
      owner.close();
      expect(filesOf(name).length).toBe(2);
      for (const child of children) child.say("go");
      for (const child of children) await child.exited;
      expect(filesOf(name)).toEqual([]);
    } finally {
      for (const child of children) await child[Symbol.asyncDispose]();
    }
  });

  test("leaves a persistent one, in which the next finds everything", () => {
    const name = uniqueName("persist");
    Segment.create(name, spec, { persist: true }).close();
    expect(filesOf(name).length).toBe(2);
    using again = Segment.create(name, spec);
    expect(again.persist).toBe(true);
    again.close();
    const { data, lock } = placeOf(name);
    rmSync(data);
    rmSync(lock);
  });
});
