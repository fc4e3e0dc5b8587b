import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { attach, clean, list, type MemblastError, type Node, start, type Update } from "../../src/index.ts";
import { Child } from "../memory/child.ts";
import { canCrash, crashEnvironment } from "../memory/crash_library.ts";
import { uniqueName } from "../memory/names.ts";
import { codeOf, until } from "./until.ts";

setDefaultTimeout(30_000);

const shape = [4, 8];

/** Cells of the main array that an update says may have changed. */
function rowsOf(update: Update): number[] {
  return update.regions.flatMap(({ start: [row], shape: [rows] }) =>
    Array.from({ length: rows! }, (_, i) => row! + i),
  );
}

function cellsOf(node: Node): number[][] {
  return node.read((a) => a.toArray()) as number[][];
}

describe("many writers", () => {
  test("each sees what the others write, gets their updates, and not its own", async () => {
    const name = uniqueName("many");
    await using first = await start(name, { shape, share: true, writers: "many" });
    await using second = await attach(name, { mode: "rw" });
    const seen: { who: string; rows: number[]; meta: unknown }[] = [];
    for (const [who, node] of [
      ["first", first],
      ["second", second],
    ] as const)
      node.onUpdate((update) => seen.push({ who, rows: rowsOf(update), meta: update.meta }));
    await Bun.sleep(20);
    expect(first.write((a, tx) => (a.set(0, 0, 1), (tx.meta = "one")))).toBe(1);
    await until(() => seen.length === 1, "the second hears of the first");
    expect(second.write((a, tx) => (a.set(3, 0, 2), (tx.meta = "two")))).toBe(2);
    await until(() => seen.length === 2, "the first hears of the second");
    expect(seen).toEqual([
      { who: "second", rows: [0], meta: "one" },
      { who: "first", rows: [3], meta: "two" },
    ]);
    expect([first.version, second.version]).toEqual([{ [name]: 2 }, { [name]: 2 }]);
    expect(cellsOf(first)).toEqual(cellsOf(second));
    expect(first.meta).toBe("two");
  });

  test("a read inside a read, and one that goes on while others write, see one version", async () => {
    const name = uniqueName("reads");
    await using first = await start(name, { shape, share: true, writers: "many" });
    await using second = await attach(name, { mode: "rw" });
    second.write((a) => a.fill(1));
    first.read((a, view) => {
      second.write((other) => other.fill(2));
      expect([view.version, a.get(3, 7), first.read((b, inner) => [inner.version, b.get(0, 0)])]).toEqual([
        1,
        1,
        [1, 1],
      ]);
    });
    expect(first.read((a, view) => [view.version, a.get(3, 7)])).toEqual([2, 2]);
  });

  test("a write in a write, an async callback and one that throws leave the lock free for others", async () => {
    const name = uniqueName("errors");
    await using first = await start(name, { shape, share: true, writers: "many", lockTimeoutMs: 50 });
    await using second = await attach(name, { mode: "rw", lockTimeoutMs: 50 });
    const failing = [
      () => first.write(() => first.write(() => {})),
      () => first.write(() => second.write(() => {})),
      () => first.write(async () => {}),
    ];
    const codes = [];
    for (const action of failing) {
      codes.push(await codeOf(action));
      second.write((a) => a.set(0, 0, codes.length));
    }
    expect(codes).toEqual(["NESTED_WRITE", "NESTED_WRITE", "ASYNC_CALLBACK"]);
    expect(() =>
      first.write(() => {
        throw new Error("boom");
      }),
    ).toThrow("boom");
    expect(second.write((a) => a.set(1, 1, 1))).toBe(4);
    expect(cellsOf(first)[0]![0]).toBe(3);
  });

  test("what another process writes reaches the followers of this one, as one delta of what changed", async () => {
    const name = uniqueName("publish");
    await using source = await start(name, { shape: [64, 8], share: true, writers: "many", listen: 0 });
    const updates: Update[] = [];
    await using follower = await start("follower", {
      shape: [64, 8],
      server: source.addresses[0]!,
      checkHash: true,
      onUpdate: (update) => updates.push(update),
    });
    await follower.ready;
    await using child = new Child("../../node/children/writer.ts", [name]);
    expect(await child.line()).toBe("ready");
    for (let i = 1; i <= 5; i++) {
      child.say(`${i * 10}`);
      expect(await child.line()).toBe(`version ${2 * i - 1}`);
      await until(
        () => follower.read((a) => a.get(i * 10, 0)) === i * 10,
        "the follower has what the child wrote",
      );
      source.write((a) => a.set(0, 0, i));
      await until(() => follower.read((a) => a.get(0, 0)) === i, "the follower has what the source wrote");
    }
    expect(cellsOf(follower)).toEqual(cellsOf(source));
    expect(follower.meta).toEqual({ row: 50 });
    expect(updates.map((update) => update.full)).toEqual([true, ...Array(updates.length - 1).fill(false)]);
    const deltas = updates.slice(1).map((update) => rowsOf(update).join());
    for (let i = 1; i <= 5; i++) expect(deltas).toContain(`${i * 10}`);
    expect(follower.stats().links[0]!.repairs).toBe(0);
  }, 20_000);

  test("a follower whose memory somebody else keeps locked says so, and catches up afterwards", async () => {
    await using server = await start("server", { shape: [64], listen: 0 });
    const name = uniqueName("held");
    const errors: string[] = [];
    await using follower = await start(name, {
      server: server.addresses[0]!,
      shape: [64],
      share: true,
      writers: "many",
      lockTimeoutMs: 20,
      reconnect: { minMs: 1, maxMs: 10 },
    });
    follower.on("error", (error) => errors.push(error.code));
    await follower.ready;
    await using holder = new Child("hold.ts", [name, 5, 1000]);
    await holder.line();
    holder.say("go");
    expect([await holder.line(), await holder.line()]).toEqual(["waiting", "writing"]);
    server.write((a) => a.set(63, 7));
    await until(() => errors.length > 2, "the follower cannot write");
    holder.say("commit");
    await until(() => follower.read((a) => a.get(63)) === 7, "it has caught up");
    expect(new Set(errors)).toEqual(new Set(["LOCKED"]));
    expect(follower.read((a) => a.get(0))).toBe(5); // which the holder wrote
  });

  test("needs share, and a mode of its own", async () => {
    expect(await codeOf(() => start("x", { shape, writers: "many" }))).toBe("INVALID_OPTION");
    expect(await codeOf(() => start("x", { shape, ifExists: "attach" }))).toBe("INVALID_OPTION");
    const name = uniqueName("mode");
    await using _one = await start(name, { shape, share: true });
    expect(await codeOf(() => attach(name, { mode: "rw", writers: "many" }))).toBe("SCHEMA_MISMATCH");
    expect(await codeOf(() => start(name, { shape, share: true }))).toBe("EXISTS");
  });
});

describe("a node that comes second", () => {
  test("with other arrays is told what to do about those that are there", async () => {
    const name = uniqueName("other");
    await (await start(name, { shape, share: true, persist: true })).close();
    const other = { shape: [...shape, 2], share: true };
    const refused = await start(name, other).catch((error: MemblastError) => error);
    const cleaned = clean({ names: [name], persistent: true });
    expect(cleaned).toEqual([name]);
    const { code, message, details } = refused as MemblastError;
    expect([code, details["difference"]]).toEqual(["SCHEMA_MISMATCH", expect.stringContaining("main array")]);
    expect(message).toContain("take another name, or remove that one by clean({ names, persistent: true })");
    await (await start(name, other)).close();
  });

  test("reads and publishes the segment it attached to", async () => {
    const name = uniqueName("second");
    await using owner = await start(name, { shape, share: true });
    await using second = await start(name, { shape, share: true, ifExists: "attach", listen: 0 });
    await using follower = await start("follower", { server: second.addresses[0]! });
    owner.write((a) => a.set(2, 2, 22));
    await until(() => follower.read((a) => a.get(2, 2)) === 22, "it passes on what the owner writes");
    expect(await codeOf(() => second.write(() => {}))).toBe("READ_ONLY");
    expect(await codeOf(() => start(name, { shape: [9], share: true, ifExists: "attach" }))).toBe(
      "SCHEMA_MISMATCH",
    );
    const following = { shape, share: true, ifExists: "attach", server: second.addresses[0]! } as const;
    expect(await codeOf(() => start(name, following))).toBe("EXISTS");
  });
});

describe.skipIf(!canCrash)("a node that is killed in the middle of a commit", () => {
  test("its successor of the same name completes or undoes it, and its followers get exactly that", async () => {
    const name = uniqueName("takeover");
    const address = `unix:${join(tmpdir(), `${name}.sock`)}`;
    const updates: Update[] = [];
    let follower: Node | null = null;
    try {
      for (const step of [3, 5, 6, 7, 8]) {
        await using dying = new Child("../../node/children/dying.ts", [name, address, step], {
          env: crashEnvironment(),
        });
        const version = Number(await dying.line());
        follower ??= await start("follower", {
          server: address,
          onUpdate: (update) => updates.push(update),
          reconnect: { minMs: 5, maxMs: 20 },
        });
        await follower.ready;
        const followed = () => follower!.version[address];
        await until(() => followed() === version, "the follower has what there is");
        updates.length = 0;
        dying.say("die");
        await dying.exited;
        expect(dying.signal).toBe("SIGKILL");

        await using successor = await start(name, {
          shape: [64, 8],
          share: true,
          persist: true,
          listen: address,
        });
        const newest = successor.version[name]!;
        expect([version, version + 1]).toContain(newest);
        await until(
          () => followed() === newest && follower!.stats().links[0]!.connected,
          "it has what the successor has",
        );
        expect(cellsOf(follower)).toEqual(cellsOf(successor));
        expect(updates.map((update) => [update.full, rowsOf(update)])).toEqual(
          newest === version ? [] : [[false, [step, step + 1]]],
        );
        expect(successor.verify().damage).toEqual([]);
      }
    } finally {
      await follower?.close();
      expect(clean({ names: [name], persistent: true })).toEqual([name]);
    }
  }, 30_000);
});

describe("list and clean", () => {
  test("name what nodes share", async () => {
    const name = uniqueName("listed");
    await using _node = await start(name, { shape, share: true });
    const info = list().find((each) => each.name === name)!;
    expect([info.isOwned, info.isUsed, info.writers, info.problem]).toEqual([true, true, "one", null]);
    expect(clean({ names: [name], persistent: true })).toEqual([]);
  });
});
