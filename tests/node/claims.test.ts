import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { attach, start } from "../../src/index.ts";
import { Segment } from "../../src/memory/segment.ts";
import { Child } from "../memory/child.ts";
import { uniqueName } from "../memory/names.ts";
import { codeOf, until } from "./until.ts";

setDefaultTimeout(30_000);

const many = { share: true, writers: "many" } as const;

describe("among many writers what one process follows is not written by another", () => {
  test("not by one that has attached: it is told so, whole, and may write the rest", async () => {
    await using server = await start("s", { listen: 0, shape: [8] });
    server.write((a) => a.fill(1));
    const name = uniqueName("claims");
    const maps = [[[0], [4], [2], null] as const] as never;
    const node = await start(name, { ...many, shape: [8], server: server.addresses[0]!, maps });
    await node.ready;
    await using other = await attach(name, { mode: "rw" });
    const write = (...elements: number[]) => other.write((a) => elements.forEach((i) => a.set(i, 7)));
    const all = () => [...node.read((a) => a.slice([0], [8]).data.slice())];
    expect(() => write(0, 5)).toThrow(/main array at \[5\] follows a server in another process/);
    expect(await codeOf(() => write(2))).toBe("FOLLOWED");
    expect(all()).toEqual([0, 0, 1, 1, 1, 1, 0, 0]);
    write(0, 1, 6, 7);
    expect(all()).toEqual([7, 7, 1, 1, 1, 1, 7, 7]);
    server.write((a) => a.set(0, 3));
    await until(() => all()[2] === 3, "what the server writes");
    await node.close();
    write(2, 5);
    expect([...other.read((a) => a.data.slice())]).toEqual([7, 7, 7, 1, 1, 7, 7, 7]);
  });

  test("nor by the server of another process; elements that are not the same may each have one", async () => {
    await using server = await start("s", { listen: 0, shape: [8] });
    const name = uniqueName("claims");
    const follow = (from: number, count: number) =>
      start(name, {
        ...many,
        ifExists: "attach",
        shape: [8],
        server: server.addresses[0]!,
        maps: [[[from], [count], [from], null] as const] as never,
      });
    await using first = await follow(0, 4);
    expect(await codeOf(() => follow(3, 2))).toBe("EXISTS");
    await using second = await follow(4, 4);
    await Promise.all([first.ready, second.ready]);
    server.write((a) => a.fill(2));
    await until(() => first.read((a) => a.data.every((cell) => cell === 2)), "both halves");
  });

  test("until its process is gone, however that ends", async () => {
    await using server = await start("s", { listen: 0, shape: [8] });
    const name = uniqueName("claims");
    await using child = new Child("../../node/children/claim.ts", [name, server.addresses[0]!]);
    expect(await child.line()).toBe("follows");
    await using other = await attach(name, { mode: "rw" });
    expect(await codeOf(() => other.write((a) => a.set(0, 1)))).toBe("FOLLOWED");
    child.kill("SIGKILL");
    await child.exited;
    other.write((a) => a.set(0, 1));
    expect(other.read((a) => a.get(0))).toBe(1);
  });

  test("also where it passes on a mesh, whose stamps would be wrong", async () => {
    await using server = await start("s", { listen: 0, mesh: true, shape: [8] });
    const name = uniqueName("claims");
    await using relay = await start(name, { ...many, listen: 0, server: server.addresses[0]! });
    await relay.ready;
    await using other = await attach(name, { mode: "rw" });
    expect(await codeOf(() => other.write((a) => a.set(0, 1)))).toBe("FOLLOWED");
  });

  test("a claim is seen by others and not by who has it, in the order of the image", () => {
    const name = uniqueName("claims");
    const spec = { schemaText: "{}", imageBytes: 4096, metaOffset: 4032 };
    using a = Segment.create(name, spec, { writers: "many" });
    using b = Segment.attach(name, { mode: "rw" });
    using c = Segment.attach(name, { mode: "rw" });
    expect(a.claim(Float64Array.of(0, 64, 1000, 24))).toBe(null);
    expect(b.claim(Float64Array.of(512, 8))).toBe(null);
    expect(b.claim(Float64Array.of(512, 8, 1020, 10))).toBe(1020);
    expect(c.claim(Float64Array.of(512, 8))).toBe(null); // b has none any more
    const changedBy = (segment: Segment, ...offsets: number[]) => {
      segment.begin();
      for (const offset of offsets) {
        new Uint8Array(segment.buffer("working", offset, 1))[0]! ^= 1;
        segment.touch(offset, 1);
      }
      const found = segment.changedElsewhere();
      segment.rollback();
      return found;
    };
    expect(changedBy(b, 64, 519, 1023)).toBe(519);
    expect(changedBy(b, 64, 520, 1023)).toBe(1023);
    expect(changedBy(b, 64, 511, 520, 1024)).toBe(null);
    expect(changedBy(a, 0, 1000)).toBe(null);
    expect(changedBy(a, 0, 1000, 515)).toBe(515);
    expect(changedBy(a)).toBe(null);
    a.claim(new Float64Array(0));
    expect(changedBy(b, 0, 1000)).toBe(null);
  });
});
