import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { closeSync, existsSync, openSync, rmSync, truncateSync, writeSync } from "node:fs";
import { attach, type MemblastError, start } from "../../src/index.ts";
import { placeOf } from "../../src/memory/place.ts";
import { Child } from "../memory/child.ts";
import { uniqueName } from "../memory/names.ts";
import { codeOf, until } from "./until.ts";

setDefaultTimeout(30_000);

const shape = [4, 8];

describe("raw views of a transaction", () => {
  test.each([
    ["", { kept: 32, meta: 32 }],
    ["1", { kept: 0, meta: 0 }],
  ])("with MEMBLAST_STRICT=%p", async (strict, { kept, meta }) => {
    await using child = new Child("../../node/children/strict.ts", [], { env: { MEMBLAST_STRICT: strict } });
    const facts = await child.json<Record<string, unknown>>();
    expect(facts).toEqual({
      inside: [32, 8],
      afterCommit: [kept, strict ? 0 : 8],
      afterRollback: meta,
      values: [5, 6],
      again: 5,
      sum: 32 * 5 - 8 * 5 + 8 * 6,
      damage: strict ? [] : ["working image"],
    });
  });
});

test("a process that listens for commits may leave at any moment", async () => {
  const names = Array.from({ length: 16 }, () => uniqueName("leave"));
  for (const name of names) {
    await using child = new Child("../../node/children/leave.ts", [name]);
    expect(await child.exited).toBe(0);
    const { data, lock } = placeOf(name);
    expect([data, lock].filter((path) => existsSync(path))).toEqual([]);
  }
});

test("what is asked of a node after close() is CLOSED at once, and no stream begins", async () => {
  const name = uniqueName("over");
  await using server = await start(name, { listen: 0, shape, share: true });
  const local = await attach(name);
  const follower = await start("f", { server: server.addresses[0]! });
  const told: string[] = [];
  local.on("error", ({ code }) => told.push(code));
  for (const node of [local, follower]) {
    await node.close();
    expect(await codeOf(() => node.onUpdate(() => {}))).toBe("CLOSED");
    expect(await codeOf(() => node.setRate(server.addresses[0]!, 5))).toBe("CLOSED");
    expect((await node.updates().next()).done).toBe(true);
  }
  await Bun.sleep(20);
  expect(told).toEqual([]);
});

test("what only reads answers until close() has resolved, so that handlers can look around", async () => {
  const server = await start("s", { listen: 0, shape });
  server.write((a, tx) => {
    a.fill(3);
    tx.meta = { note: "full" };
  });
  const follower = await start("f", { server: server.addresses[0]! });
  await follower.ready;
  const seen: unknown[] = [];
  for (const node of [follower, server])
    node.on("disconnect", () => {
      const { meta, schema, version } = node;
      const cells = [
        node.read((a) => a.get(0, 0)),
        node.snapshot().array.get(0, 0),
        node.ndarray().get(0, 0),
      ];
      seen.push([version[node.name], meta, schema.arrays.length, node.stats().version, ...cells]);
    });
  const closing = [follower.close(), server.close()];
  expect(follower.version["f"]).toBe(1);
  expect(await codeOf(() => follower.onUpdate(() => {}))).toBe("CLOSED");
  expect(await codeOf(() => server.write((a) => a.fill(4)))).toBe("CLOSED");
  await Promise.all(closing);
  expect(seen).toEqual(Array(2).fill([1, { note: "full" }, 1, 1, 3, 3, 3]));
  for (const look of [() => follower.version, () => follower.meta, () => follower.stats()])
    expect(await codeOf(look)).toBe("CLOSED");
});

describe("harm done to the file of a node", () => {
  test("verify() names array and bytes", async () => {
    const name = uniqueName("damage");
    await using node = await start(name, {
      shape,
      arrays: { w: { shape: [100], dtype: "u8" } },
      share: true,
    });
    node.write((a, tx) => {
      a.fill(1);
      tx.array("w").fill(2);
      tx.meta = { note: "whole" };
    });
    expect(node.verify()).toEqual({ version: 1, isFirst: true, damage: [] });
    const { arrays, metaOffset, imageBytes } = node.schema;
    const file = openSync(placeOf(name).data, "r+");
    const committed = 4 * 4096 + Math.ceil(imageBytes / 4096) * 4096;
    for (const offset of [arrays[0]!.offset + 9, arrays[1]!.offset + 99, metaOffset + 9])
      writeSync(file, Uint8Array.of(77), 0, 1, committed + offset);
    closeSync(file);
    expect(node.verify().damage).toEqual([
      { part: "committed image", array: null, offset: 0, bytes: 64 },
      { part: "committed image", array: "w", offset: arrays[1]!.offset + 64, bytes: 36 },
      { part: "committed image", array: undefined, offset: arrays[1]!.offset + 100, bytes: 28 + 64 }, // padding, metadata
    ]);
    await using local = await attach(name);
    expect(local.verify()).toEqual({ version: 1, isFirst: true, damage: [] });
  });

  test("a cut file is an error of reading, writing and verifying, told to who listens, and closing works", async () => {
    const name = uniqueName("cut");
    const node = await start(name, { shape, share: true });
    node.write((a) => a.fill(1));
    const local = await attach(name, { onUpdate() {} });
    const errors: string[] = [];
    local.on("error", (error: MemblastError) => errors.push(error.code));
    const live = node.ndarray();
    await Bun.sleep(20);
    truncateSync(placeOf(name).data, 4096);
    await until(() => errors.length > 0, "the watcher hears of it");
    expect(errors[0]).toBe("TRUNCATED");
    live.equals(live);
    for (const each of [node, local]) {
      for (const action of [() => each.read((a) => a.get(0, 0)), () => each.snapshot(), () => each.verify()])
        expect(await codeOf(action)).toBe("TRUNCATED");
    }
    expect(await codeOf(() => node.write(() => {}))).toBe("TRUNCATED");
    expect(await codeOf(() => live.get(0, 0))).toBe("CLOSED");
    await local.close();
    await node.close();
  });

  test("a removed file ends writing before its name stands for two segments", async () => {
    const name = uniqueName("removed");
    const node = await start(name, { shape, share: true });
    const local = await attach(name, { onUpdate() {} });
    const errors: string[] = [];
    local.on("error", (error: MemblastError) => errors.push(error.code));
    await Bun.sleep(20);
    const { data, lock } = placeOf(name);
    rmSync(data);
    rmSync(lock);
    await until(() => errors.length > 0, "the watcher hears of it");
    await using successor = await start(name, { shape, share: true });
    node.write((a) => a.fill(1)); // it looks when it rings
    await Bun.sleep(1);
    expect(await codeOf(() => node.write((a) => a.fill(2)))).toBe("STALE");
    expect(await codeOf(() => local.read(() => 0))).toBe("STALE");
    expect(errors).toContain("STALE");
    await local.close();
    await node.close();
    successor.write((a) => a.fill(3)); // and whose files they were is not touched by their end
    await using other = await attach(name);
    expect(other.read((a) => a.get(0, 0))).toBe(3);
  });
});
