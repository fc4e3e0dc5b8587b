import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { makeSchema, schemaToJson } from "../../src/array/schema.ts";
import { noRuns } from "../../src/delta/runs.ts";
import { MemblastError } from "../../src/errors.ts";
import type { Segment } from "../../src/memory/segment.ts";
import { Allowance } from "../../src/node/publishing/allowance.ts";
import { newReading } from "../../src/node/publishing/encoding.ts";
import { Feeds } from "../../src/node/publishing/feed.ts";
import { Listening } from "../../src/node/doors/listening.ts";
import { parseStartOptions } from "../../src/node/options/config.ts";
import type { StartOptions } from "../../src/node/options/options.ts";
import { Publishing } from "../../src/node/publishing/publishing.ts";
import { type Published, Shadow } from "../../src/node/storage/shadow.ts";
import { realWorld } from "../../src/node/runtime/world.ts";
import { defaultLimits } from "../../src/protocol/limits.ts";
import { formatAddress, parseAddress } from "../../src/transport/address.ts";
import { systemTransport } from "../../src/transport/endpoint.ts";
import { RawFollower } from "./raw.ts";
import { until } from "./until.ts";

setDefaultTimeout(30_000);

const identity = { name: "s", id: "5".repeat(32) };
const schema = makeSchema(
  [
    { name: "a", dtype: "u8", shape: [64] },
    { name: "b", dtype: "u8", shape: [64] },
  ],
  64,
);
const whole = (array: string) => [{ array, start: [0], shape: [64] }];

/** A state in an ordinary buffer, whose every change is a version, and which can be made to fail. */
class Memory implements Published {
  readonly schema = schema;
  readonly incarnation = "1".repeat(32);
  readonly isSole = true;
  version = 0;
  beforeCommit: Published["beforeCommit"] = null;
  readonly bytes = new Uint8Array(schema.imageBytes);
  /** Gathering anything of this array fails. */
  broken: string | null = null;
  readonly #changed: { version: number; offset: number }[] = [];

  set(array: string, value: number): void {
    const { offset } = schema.arrays.find(({ name }) => name === array)!;
    this.beforeCommit?.(() => Float64Array.of(offset, 64));
    this.bytes.fill(value, offset, offset + 64);
    this.#changed.push({ version: ++this.version, offset });
  }

  changedSince(since: number, clip: Float64Array<ArrayBuffer> | null = null) {
    const offsets = new Set(
      this.#changed.filter(({ version }) => version > since).map(({ offset }) => offset),
    );
    const isIn = (offset: number) =>
      clip === null || clip.some((each, i) => i % 2 === 0 && each <= offset && offset < each + clip[i + 1]!);
    const runs = [...offsets].filter(isIn).sort((a, b) => a - b);
    return { version: this.version, runs: Float64Array.from(runs.flatMap((offset) => [offset, 64])) };
  }

  isMetaNewer(): boolean {
    return false;
  }

  metaJson(): Uint8Array {
    return new Uint8Array(0);
  }

  gather(runs: Float64Array, into: Uint8Array): void {
    let at = 0;
    for (let i = 0; i < runs.length; i += 2) {
      const array = schema.arrays.find(
        ({ offset, bytes }) => runs[i]! >= offset && runs[i]! < offset + bytes,
      );
      if (array?.name === this.broken) throw new MemblastError("TRUNCATED", "It is gone");
      into.set(this.bytes.subarray(runs[i]!, runs[i]! + runs[i + 1]!), at);
      at += runs[i + 1]!;
    }
  }

  advance(): void {}
}

const open: Listening[] = [];
afterEach(() => {
  for (const listening of open.splice(0)) {
    listening.shut();
    for (const link of listening.links) link.conversation.abort();
  }
});

/** A door before any state, and what goes wrong at it. */
async function serve(
  published: Published,
  options: Partial<StartOptions<unknown>> = {},
  onOverflow = () => {},
) {
  const errors: MemblastError[] = [];
  const listening = new Listening(
    published,
    identity,
    parseStartOptions({ listen: 0, shape: [1], ...options }),
    realWorld,
    {
      onReport() {},
      onOverflow,
      onClosed: ({ conversation }) => void (conversation.failure && errors.push(conversation.failure)),
      onCrowded() {},
      onFaulty() {},
      onError: (error) => void errors.push(error),
    },
  );
  await listening.open();
  open.push(listening);
  const follow = async (array: string) => {
    const raw = await RawFollower.connect(listening.addresses[0]!);
    await raw.join(array);
    raw.subscribe(1, { regions: whole(array) });
    await raw.seen("SUBSCRIBED");
    await until(() => raw.dataBytes.has(1), "the first state");
    return raw;
  };
  return { listening, errors, follow };
}

describe("one link's failure", () => {
  test("ends that link, with a word, and no other", async () => {
    const memory = new Memory();
    const { listening, errors, follow } = await serve(memory);
    using a = await follow("a");
    using b = await follow("b");
    using c = await follow("b");
    memory.broken = "a";
    memory.set("a", 1);
    memory.set("b", 2);
    listening.publish();
    await until(() => b.dataBytes.get(1) === 128 && c.dataBytes.get(1) === 128, "the others");
    await until(() => a.isClosed && listening.links.size === 2, "the end of the one");
    expect(a.of("ERROR").map(({ code }) => code)).toEqual(["INTERNAL"]);
    expect(a.of("ERROR")[0]!.text).not.toContain("gone");
    await until(() => errors.length > 0, "why");
    expect(errors.map(({ code }) => code)).toEqual(["TRUNCATED"]);
    expect(listening.links.size).toBe(2);

    memory.broken = null;
    using again = await follow("a");
    expect(again.isClosed).toBe(false);
    memory.set("a", 3); // nothing of the failed delta is still in the way
    listening.publish();
    await until(() => again.dataBytes.get(1) === 128, "the commit");
  });

  test('in the mode "every" as well', async () => {
    const memory = new Memory();
    const { listening, follow } = await serve(memory);
    using b = await follow("b");
    using every = await RawFollower.connect(listening.addresses[0]!);
    await every.join("every");
    every.subscribe(1, { regions: whole("a"), mode: "every" });
    every.subscribe(2, { regions: whole("b"), mode: "every" });
    await until(() => every.dataBytes.size === 2, "the first states");
    memory.broken = "a";
    memory.set("a", 1);
    listening.committed();
    memory.set("b", 1);
    listening.committed();
    listening.publish();
    await until(
      () => every.isClosed && b.dataBytes.get(1) === 128,
      "the end of the one, and the other's bytes",
    );
  });
});

test("a failure that comes only once the rate allows the delta ends that link, and no other", async () => {
  const memory = new Memory();
  const { listening, errors, follow } = await serve(memory);
  using b = await follow("b");
  using a = await RawFollower.connect(listening.addresses[0]!);
  await a.join("a");
  a.subscribe(1, { regions: whole("a"), maxRate: 20 });
  await until(() => a.dataBytes.has(1), "the first state");
  memory.broken = "a";
  memory.set("a", 1);
  listening.publish();
  expect(errors).toEqual([]);
  await until(() => a.isClosed, "the end of the link");
  await until(() => errors.length > 0, "why");
  expect(errors.map(({ code }) => code)).toEqual(["TRUNCATED"]);
  memory.set("b", 1);
  listening.publish();
  await until(() => b.dataBytes.get(1) === 128, "the other");
});

/** Somebody takes the last of a delta: whoever waits for room is asked again. */
function makeRoom(feeds: Feeds): void {
  const feed = feeds.take(Float64Array.of(0, 64), { verify: false, mode: "latest" });
  const reading = newReading({ tooSlow() {}, failed() {} }, 1, feed.delta(0, true)!);
  feeds.read(reading);
  feeds.finish(reading);
}

test("a repair that waits for room stands for all commits until then; the next one is a delta again", async () => {
  const memory = new Memory();
  const { listening } = await serve(memory);
  const { keeping } = listening.feeds;
  using raw = await RawFollower.connect(listening.addresses[0]!);
  await raw.join("every");
  raw.subscribe(1, { regions: whole("a"), mode: "every", verify: true });
  const commit = (value: number) => {
    memory.set("a", value);
    listening.committed();
  };
  await until(() => raw.heads.length === 1, "the first state");
  commit(1);
  await until(() => raw.heads.length === 2, "a commit");
  keeping.hasRoomFor = () => false; // as where others hold all that may be kept
  const about = { subscription: 1, first: true, last: true, version: 1, firstLeaf: 0 };
  raw.send({ type: "HASHES", ...about, hashes: new Uint8Array(32) });
  await until(() => keeping.waiting === 1, "the repair to wait");
  commit(2);
  commit(3);
  keeping.hasRoomFor = () => true;
  makeRoom(listening.feeds);
  await until(() => raw.heads.length === 3, "the repair");
  commit(4);
  await until(() => raw.heads.length === 4, "a commit");
  expect(raw.heads.map(({ from, to, repair }) => [from, to, repair])).toEqual([
    [0, 0, false],
    [0, 1, false],
    [1, 3, true],
    [3, 4, false],
  ]);
});

test("what was nothing for a follower of every commit is not made again from all that came after it", async () => {
  const memory = new Memory();
  const { listening } = await serve(memory);
  const { keeping } = listening.feeds;
  using raw = await RawFollower.connect(listening.addresses[0]!);
  await raw.join("every");
  raw.subscribe(1, { regions: whole("a"), mode: "every", maxRate: 1e-3 });
  await until(() => raw.heads.length === 1, "the first state");
  const commit = (value: number) => {
    memory.set("a", value);
    listening.committed();
  };
  const { changedSince } = memory;
  memory.changedSince = (since, clip = null) =>
    clip ? { version: memory.version, runs: noRuns } : changedSince.call(memory, since);
  commit(1); // in a block of what is followed, but none of its words
  memory.changedSince = changedSince; // the words are not known for long
  keeping.hasRoomFor = () => false;
  raw.send({ type: "RATE", id: 1, perSecond: null });
  await raw.turn();
  for (let value = 2; value <= 3; value++) commit(value);
  keeping.hasRoomFor = () => true;
  makeRoom(listening.feeds);
  await until(() => raw.heads.at(-1)!.to === 3, "the commits");
  commit(4);
  await raw.turn();
  expect(raw.heads.map(({ from, to }) => [from, to])).toEqual([
    [0, 0],
    [0, 2],
    [2, 3],
    [3, 4],
  ]);
});

test("what waits for a follower of every commit is of the version that it leads to, however much is committed behind it", async () => {
  const memory = new Memory();
  const { listening } = await serve(memory);
  using raw = await RawFollower.connect(listening.addresses[0]!);
  await raw.join("every");
  raw.subscribe(1, { regions: whole("a"), mode: "every", maxRate: 1e-3 });
  await until(() => raw.heads.length === 1, "the first state");
  const { gather } = memory;
  let gathered = 0;
  memory.gather = (...args) => (gathered++, gather.apply(memory, args));
  for (let value = 1; value <= 100; value++) {
    memory.set("a", value);
    listening.committed();
    expect(gathered).toBe(value); // once, and now: it cannot be had later
  }
  raw.send({ type: "RATE", id: 1, perSecond: null });
  await until(() => raw.heads.length === 101, "all commits");
  expect(gathered).toBe(100);
});

test("whoever hears of an overflow may commit, and nobody else gets two commits as one", async () => {
  const memory = new Memory();
  let told = 0;
  const commit = () => {
    memory.set("a", memory.version + 1);
    listening.committed();
  };
  const { listening } = await serve(memory, { queueBytesMax: 0 }, () => void (told++ === 0 && commit()));
  const follow = async (name: string, maxRate: number | null) => {
    const raw = await (await RawFollower.connect(listening.addresses[0]!)).join(name);
    raw.subscribe(1, { regions: whole("a"), mode: "every", maxRate });
    await until(() => raw.heads.length === 1, "the first state");
    return raw;
  };
  using slow = await follow("slow", 1e-3); // it comes first at each commit
  using good = await follow("good", null);
  commit();
  await until(() => good.heads.at(-1)!.to === 2, "both commits");
  expect(good.heads.map(({ from, to }) => [from, to])).toEqual([
    [0, 0],
    [0, 1],
    [1, 2],
  ]);
  await slow.seen("ERROR");
  expect(told).toBe(1);
});

test("a subscription that is refused, here or by the session, leaves nothing behind", async () => {
  const memory = new Memory();
  const feeds = new Feeds(memory);
  const config = {
    node: "s",
    nodeId: identity.id,
    incarnation: memory.incarnation,
    schema: schemaToJson(schema),
    auth: { kind: "none" },
    limits: { ...defaultLimits, subscriptionBytesMax: 100 },
  } as const;
  const owner = { onReport() {}, onOverflow() {}, onClosed() {} };
  const listener = await systemTransport.listen(parseAddress(0), () => {
    const allowance = new Allowance(schema, () => 0);
    const options = { rights: () => null, queueBytesMax: 0, allowance };
    return new Publishing(config, feeds, () => memory.version, realWorld, owner, options).conversation;
  });
  using raw = await RawFollower.connect(formatAddress(listener.address));
  listener.close();
  await raw.join("raw");
  for (let id = 1; id <= 10; id++) raw.subscribe(id, { regions: [...whole("a"), ...whole("b")] });
  raw.subscribe(11, { regions: [{ array: "a", start: [60], shape: [9] }] });
  raw.subscribe(12, { regions: [{ array: "none", start: [0], shape: [1] }] });
  raw.subscribe(13, { regions: whole("b") });
  await raw.seen("SUBSCRIBED");
  const codes = raw.of("ERROR").map(({ code }) => code);
  expect(codes).toEqual([...Array.from({ length: 10 }, () => "UNSUPPORTED"), "REGION", "REGION"]);
  memory.set("a", 1);
  expect([...feeds.renewed("latest")]).toEqual([]);
  memory.set("b", 1);
  expect([...feeds.renewed("latest")].length).toBe(1);
});

describe("a copy of what others write", () => {
  /** A segment that others write, which cannot be read for a while. */
  class Shared {
    version = 1;
    isBusy = false;
    value = 1;
    readonly incarnation = "2".repeat(32);
    refresh(into: Uint8Array, since: number): number {
      if (since === this.version) return since;
      into.fill(this.value, 0, this.isBusy ? into.byteLength / 2 : into.byteLength);
      if (this.isBusy) throw new MemblastError("LOCKED", "It is being written all the time");
      return this.version;
    }
    changedSince(since: number) {
      const runs = since < this.version ? [0, 64] : [];
      return { version: this.version, runs: Float64Array.from(runs) };
    }
  }

  test("that cannot be brought forward keeps its version, and shows nothing of its torn bytes", () => {
    const shared = new Shared();
    const shadow = new Shadow(shared as unknown as Segment, schema);
    shadow.advance();
    shared.version = 2;
    shared.value = 2;
    shared.isBusy = true;
    expect(() => shadow.advance()).toThrow("written all the time");
    expect(shadow.version).toBe(1);
    expect(() => shadow.gather(Float64Array.of(0, 8), new Uint8Array(8))).toThrow("written all the time");
    expect(() => shadow.metaJson()).toThrow("written all the time");
    expect(() => shadow.changedSince(0)).toThrow("written all the time");
    shared.isBusy = false;
    shadow.advance();
    expect(shadow.version).toBe(2);
    const bytes = new Uint8Array(schema.imageBytes);
    shadow.gather(Float64Array.of(0, schema.imageBytes), bytes);
    expect(new Set(bytes)).toEqual(new Set([2]));
  });

  test("is tried again by itself; the failure is told once, and followers lose nothing but time", async () => {
    const shared = new Shared();
    const shadow = new Shadow(shared as unknown as Segment, schema);
    shared.value = 0; // the record of metadata is in the image, too
    const { listening, errors, follow } = await serve(shadow);
    using a = await follow("a");
    const before = a.dataBytes.get(1)!;
    shared.version = 2;
    shared.isBusy = true;
    for (let i = 0; i < 3; i++) listening.publish();
    await Bun.sleep(250);
    expect(errors.map(({ code }) => code)).toEqual(["LOCKED"]);
    expect(a.isClosed).toBe(false);
    using early = await RawFollower.connect(listening.addresses[0]!);
    await early.join("early"); // the door is open all the same
    shared.isBusy = false;
    await until(() => a.dataBytes.get(1)! > before, "the commit, once it can be read");
    expect(errors.length).toBe(1);
    expect(a.isClosed).toBe(false);
  });
});
