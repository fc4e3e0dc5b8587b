import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { rmSync, truncateSync } from "node:fs";
import { Doorbell } from "../../src/memory/notify.ts";
import { placeOf } from "../../src/memory/place.ts";
import { Segment } from "../../src/memory/segment.ts";
import { Child } from "./child.ts";
import { codeOf } from "./codes.ts";
import { uniqueName } from "./names.ts";

setDefaultTimeout(30_000);

const spec = { schemaText: "{}", imageBytes: 4096, metaOffset: 0 };

function commit(segment: Segment, cells: Float64Array, value: number): void {
  segment.begin();
  cells[0] = value;
  segment.touch(0, 8);
  segment.commit();
}

/** Counts calls, and waits for the next one. */
function counter(): { rings: number; ring(): void; next(): Promise<void> } {
  let waiting = Promise.withResolvers<void>();
  return {
    rings: 0,
    ring() {
      this.rings++;
      waiting.resolve();
    },
    async next() {
      await waiting.promise;
      waiting = Promise.withResolvers<void>();
    },
  };
}

describe("the doorbell", () => {
  test("wakes every one of many watchers, in this process and in others, on mappings for reading", async () => {
    const name = uniqueName("watchers");
    using owner = Segment.create(name, spec);
    const cells = new Float64Array(owner.buffer("working", 0, 4096));
    const children = [1, 2, 3].map(() => new Child("wakes.ts", [name]));
    using stack = new DisposableStack();
    const counters = await Promise.all(
      Array.from({ length: 5 }, async () => {
        const count = counter();
        const reader = stack.use(Segment.attach(name));
        stack.use(await Doorbell.open(reader, () => count.ring()));
        return count;
      }),
    );
    try {
      for (const child of children) expect(await child.line()).toBe("ready");
      commit(owner, cells, 1);
      owner.ring();
      for (const child of children) expect(await child.line()).toBe("woken: version 1");
      for (const count of counters) await count.next();
    } finally {
      for (const child of children) await child[Symbol.asyncDispose]();
    }
  });

  test("its threads sleep while nothing is committed", async () => {
    const name = uniqueName("idle");
    using owner = Segment.create(name, spec);
    const cells = new Float64Array(owner.buffer("working", 0, 4096));
    await using child = new Child("wakes.ts", [name]);
    expect(await child.line()).toBe("ready");
    const wakeUps = async () => {
      child.say("count");
      const threads = await child.json<Record<string, number>>();
      return Object.entries(threads).filter(([thread]) => thread.startsWith("memblast-"));
    };
    for (let tries = 0; (await wakeUps()).length < 2 && tries < 500; tries++) await Bun.sleep(10); // they name themselves
    const before = await wakeUps();
    await Bun.sleep(1500);
    expect(before.length).toBe(2);
    expect(await wakeUps()).toEqual(before);
    commit(owner, cells, 1);
    owner.ring();
    expect(await child.line()).toBe("woken: version 1");
    expect(await wakeUps()).not.toEqual(before);
  });

  test("rings when a process is gone that committed and could not ring any more", async () => {
    const name = uniqueName("unrung");
    using _segment = Segment.create(name, spec, { writers: "many" });
    await using writer = new Child("hold.ts", [name, 5, 1000]);
    await writer.line();
    using reader = Segment.attach(name);
    const count = counter();
    using _bell = await Doorbell.open(reader, () => count.ring());
    writer.say("go");
    await writer.line();
    await writer.line();
    writer.say("commit"); // hold.ts never rings
    expect(await writer.line()).toBe("version 1");
    writer.kill("SIGKILL");
    await count.next();
    expect(reader.version).toBe(1);
  });

  test("rings when the file is removed or cut, which its users then know", async () => {
    for (const [harm, code] of [
      [(path: string) => rmSync(path), "STALE"],
      [(path: string) => truncateSync(path, 4096), "TRUNCATED"],
    ] as const) {
      const name = uniqueName("harm");
      const owner = Segment.create(name, spec);
      const reader = Segment.attach(name);
      const count = counter();
      const bell = await Doorbell.open(reader, () => count.ring());
      reader.checkFile();
      harm(placeOf(name).data);
      await count.next();
      expect(codeOf(() => reader.checkFile())).toBe(code);
      expect(codeOf(() => reader.refresh(new Uint8Array(4096), 0))).toBe(code);
      const cells = new Float64Array(owner.buffer("working", 0, 4096));
      const write = () => {
        commit(owner, cells, 1);
        owner.ring(); // looks
        owner.begin();
      };
      expect(codeOf(write)).toBe(code);
      expect(codeOf(write)).toBe(code);
      bell.close();
      reader.close();
      owner.close();
    }
  });

  test("closing it twice, or while it is being rung, is nothing", async () => {
    const name = uniqueName("closing");
    using owner = Segment.create(name, spec);
    const cells = new Float64Array(owner.buffer("working", 0, 4096));
    for (let i = 1; i <= 50; i++) {
      using reader = Segment.attach(name);
      const bell = await Doorbell.open(reader, () => {});
      commit(owner, cells, i);
      owner.ring();
      bell.close();
      bell.close();
    }
  });
});
