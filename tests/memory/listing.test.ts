import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { clean, list } from "../../src/memory/listing.ts";
import { placeOf } from "../../src/memory/place.ts";
import { Segment } from "../../src/memory/segment.ts";
import { Child } from "./child.ts";
import { codeOf } from "./codes.ts";

setDefaultTimeout(30_000);

const spec = { schemaText: "{}", imageBytes: 4096, metaOffset: 0 };

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "memblast-listing-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const at = (name: string) => join(folder, name);

/** A segment whose only user was killed. */
async function leave(name: string, ...options: string[]): Promise<void> {
  await using child = new Child("keep.ts", [at(name), ...options]);
  await child.line();
  child.kill("SIGKILL");
  await child.exited;
}

/** A process that has a segment open. */
async function keep(name: string, ...options: string[]): Promise<Child> {
  const child = new Child("keep.ts", [at(name), ...options]);
  await child.line();
  return child;
}

describe("list and clean", () => {
  test("tell what is there, who has it, and what is left over, by the locks alone", async () => {
    await using _owned = await keep("owned");
    await using _read = await keep("read-only");
    Segment.create(at("kept"), spec, { persist: true }).close();
    await leave("left");
    using many = Segment.create(at("shared"), spec, { writers: "many" });
    many.begin();
    new Float64Array(many.buffer("working", 0, 8))[0] = 1;
    many.touch(0, 8);
    many.commit();
    writeFileSync(at("lonely.lock"), "", { mode: 0o600 });
    writeFileSync(at("odd name"), "");

    const facts = list(folder).map((info) => [
      info.name,
      info.version,
      info.writers,
      info.isOwned,
      info.isUsed,
      info.persist,
    ]);
    expect(facts).toEqual([
      ["kept", 0, "one", false, false, true],
      ["left", 0, "one", false, false, false],
      ["lonely", null, null, false, false, null],
      ["owned", 0, "one", true, true, false],
      ["read-only", 0, "one", true, true, false],
      ["shared", 1, "many", true, true, false],
    ]);
    const [kept, , lonely] = list(folder);
    expect([kept!.bytes, kept!.path, kept!.problem]).toEqual([24576, at("kept"), null]);
    expect([lonely!.bytes, lonely!.problem!.code]).toEqual([0, "NOT_FOUND"]);

    expect(clean({ directory: folder })).toEqual(["left", "lonely"]);
    expect(clean({ directory: folder })).toEqual([]);
    expect(clean({ directory: folder, persistent: true, names: ["owned"] })).toEqual([]);
    expect(clean({ directory: folder, persistent: true })).toEqual(["kept"]);
    expect(list(folder).map((info) => info.name)).toEqual(["owned", "read-only", "shared"]);
    expect(many.version).toBe(1);
  });

  test("nobody who is only stopped is robbed", async () => {
    await using stopped = await keep("stopped");
    stopped.kill("SIGSTOP");
    expect(clean({ directory: folder, persistent: true })).toEqual([]);
    stopped.kill("SIGCONT");
    stopped.say("end");
    await stopped.exited;
    expect(list(folder)).toEqual([]);
  });

  test("a reader alone keeps a segment whose owner was killed", async () => {
    const owner = await keep("widow");
    using reader = Segment.attach(at("widow"));
    owner.kill("SIGKILL");
    await owner.exited;
    const [info] = list(folder);
    expect([info!.isOwned, info!.isUsed]).toEqual([false, true]);
    expect(clean({ directory: folder })).toEqual([]);
    expect(reader.version).toBe(0);
    reader.close(); // the last user, so it takes the files along
    expect(readdirSync(folder)).toEqual([]);
  });

  test("what cannot be read is told, and stays unless persistent ones go too", async () => {
    await leave("cut");
    truncateSync(at("cut"), 4096);
    const [info] = list(folder);
    expect([info!.problem!.code, info!.version, info!.isUsed]).toEqual(["TRUNCATED", null, false]);
    expect(clean({ directory: folder })).toEqual([]);
    expect(clean({ directory: folder, persistent: true })).toEqual(["cut"]);
  });

  test("data without a lock file stays: nobody can tell who uses it", async () => {
    await using _user = await keep("lockless");
    rmSync(placeOf(at("lockless")).lock);
    expect(clean({ directory: folder, persistent: true })).toEqual([]);
    expect(list(folder).map((info) => info.name)).toEqual(["lockless"]);
  });

  test("a folder that is not there holds nothing", () => {
    expect(list(at("nowhere"))).toEqual([]);
    expect(clean({ directory: at("nowhere") })).toEqual([]);
  });

  test("cleaning while others come and go never removes what somebody has", async () => {
    const children = [0, 1, 2].map((i) => new Child("come_and_go.ts", [at("busy"), i, 40]));
    try {
      for (const child of children) await child.line();
      for (const child of children) child.say("go");
      let isRunning = true;
      const results = Promise.all(children.map((child) => child.json<string[]>())).finally(
        () => (isRunning = false),
      );
      let cleaned = 0;
      while (isRunning) {
        cleaned += clean({ directory: folder }).length;
        await Bun.sleep(0);
      }
      expect((await results).flat()).toEqual([]); // nobody saw its segment vanish
      expect(cleaned).toBeGreaterThanOrEqual(0);
    } finally {
      for (const child of children) await child[Symbol.asyncDispose]();
    }
    clean({ directory: folder });
    expect(readdirSync(folder)).toEqual([]);
  });

  test("looking does not keep a segment from vanishing with its last user", () => {
    for (let i = 0; i < 20; i++) {
      const owner = Segment.create(at("watched"), spec);
      list(folder);
      owner.close();
      expect(codeOf(() => Segment.attach(at("watched")))).toBe("NOT_FOUND");
    }
  });
});
