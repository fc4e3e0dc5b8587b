import { expect, setDefaultTimeout, test } from "bun:test";
import { schemaToJson } from "../../src/array/schema.ts";
import type { Runs } from "../../src/delta/runs.ts";
import { Allowance, creditMax, leavesMax } from "../../src/node/publishing/allowance.ts";
import { Feeds } from "../../src/node/publishing/feed.ts";
import { Publishing } from "../../src/node/publishing/publishing.ts";
import { realWorld } from "../../src/node/runtime/world.ts";
import { crc32c } from "../../src/memory/digest.ts";
import { decodeFrame } from "../../src/protocol/decode.ts";
import { encodeMessage } from "../../src/protocol/encode.ts";
import { ProtocolFault } from "../../src/protocol/fault.ts";
import { Framer } from "../../src/protocol/framer.ts";
import { defaultLimits, payloadBytesMax } from "../../src/protocol/limits.ts";
import type { Message, Received, SubscribeMessage } from "../../src/protocol/messages.ts";
import type { Link, LinkState } from "../../src/transport/link.ts";
import { Memory } from "./memory.ts";
import { helloOf } from "./raw.ts";

setDefaultTimeout(30_000);

/** A link that takes so many bytes, and more when it is told to. */
class NarrowLink implements Link {
  readonly description = "narrow";
  readonly remote = "nowhere";
  readonly queuedBytes = 0;
  state: LinkState = "open";
  room = Infinity;
  /** It breaks when it has taken as many. */
  writesMax = Infinity;
  written: Received[] = [];
  readonly #framer = new Framer(crc32c);

  constructor() {
    this.#framer.limitPayload(payloadBytesMax);
  }

  write(parts: readonly Uint8Array[]): boolean {
    if (this.state !== "open") return false;
    if (this.writesMax-- === 0) this.state = "closed";
    for (const part of parts) {
      this.room -= part.byteLength;
      this.#framer.push(part);
    }
    const frame = this.#framer.next();
    if (frame === null || frame instanceof ProtocolFault) throw frame ?? new Error("half a frame");
    this.written.push(decodeFrame(frame)!);
    return this.state === "open" && this.room > 0;
  }

  pause(): void {}
  resume(): void {}
  close(): void {}
  abort(): void {}
}

/** The publisher's end of a link to a follower that has been let in. */
function admitted(memory: Memory, now = () => 0) {
  const { schema, incarnation } = memory;
  const config = {
    node: "s",
    nodeId: "5".repeat(32),
    incarnation,
    schema: schemaToJson(schema),
    auth: { kind: "none" },
    limits: defaultLimits,
  } as const;
  const feeds = new Feeds(memory);
  const owner = { onReport() {}, onOverflow() {}, onClosed() {} };
  const allowance = new Allowance(schema, now);
  const options = { rights: () => null, queueBytesMax: 0, allowance };
  const { conversation } = new Publishing(config, feeds, () => memory.version, realWorld, owner, options);
  const link = new NarrowLink();
  const hear = (message: Message) => {
    for (const bytes of encodeMessage(crc32c, message)) conversation.onBytes(link, bytes);
  };
  conversation.onOpen(link);
  hear(helloOf("f"));
  hear({ type: "AUTH", nonce: "0".repeat(64) });
  const subscribe = (id: number, start: number, count: number, about: Partial<SubscribeMessage> = {}) => {
    const regions = [{ array: null, start: [start], shape: [count] }];
    const usual = { mode: "latest", verify: false, maxRate: null, have: null } as const;
    hear({ type: "SUBSCRIBE", id, regions, ...usual, ...about });
  };
  const publish = () => {
    for (const feed of feeds.renewed("latest"))
      for (const [follower, ids] of feed.followers) follower.committed(memory.version, ids);
  };
  const end = () => conversation.onClose(link);
  return { link, conversation, allowance, hear, subscribe, publish, end };
}

test("nothing is gathered for a link that has broken in the middle of a delta", () => {
  const memory = new Memory(2 ** 24);
  const { link, subscribe, end } = admitted(memory);
  let gathered = 0;
  memory.gather = () => void gathered++;
  link.writesMax = 3;
  subscribe(1, 0, memory.bytes);
  expect(link.written.filter(({ type }) => type === "DELTA").length).toBe(3);
  expect(gathered).toBe(3);
  end();
});

test("a long delta lets what else there is to say pass between its parts", () => {
  const small = 64;
  const memory = new Memory(2 ** 26 + small);
  const { link, conversation, hear, subscribe, publish, end } = admitted(memory);
  const saidAfterDrain = () => {
    link.written = [];
    link.room = 2 ** 17;
    conversation.onDrain();
    return link.written.map((message) =>
      message.type === "DELTA" ? `${message.type} ${message.subscription}` : message.type,
    );
  };
  link.room = 2 ** 17;
  subscribe(1, 0, memory.bytes - small);
  expect(saidAfterDrain()).toEqual(["DELTA 1", "DELTA 1", "DELTA 1"]);
  hear({ type: "PING", opaque: new Uint8Array(8) });
  subscribe(2, memory.bytes - small, small);
  expect(saidAfterDrain().slice(0, 3)).toEqual(["PONG", "DELTA 1", "DELTA 2"]);
  for (let i = 0; i < 3; i++) {
    memory.write(memory.bytes - small, small);
    publish();
    expect(saidAfterDrain().slice(0, 2)).toEqual(["DELTA 1", "DELTA 2"]);
  }
  end();
});

test("repairs are paid for like subscriptions; who asks for too many loses the subscription, not the link", () => {
  const stretches = 4096;
  const memory = new Memory(8 * stretches);
  const { link, allowance, hear, subscribe, end } = admitted(memory);
  const cells = Array.from({ length: stretches }, (_, i) => ({ array: null, start: [8 * i], shape: [1] }));
  const wrong = () => {
    const about = { subscription: 1, first: true, last: true, version: memory.version, firstLeaf: 0 };
    hear({ type: "HASHES", ...about, hashes: new Uint8Array(32) });
  };
  subscribe(1, 0, 1, { regions: cells, verify: true });
  const answer = () => link.written.at(-1)!;
  const paid = Math.floor(creditMax / stretches) - 10;
  for (let i = 0; i < paid; i++) allowance.payAgain(1);
  let repairs = 0;
  for (wrong(); answer().type === "DELTA"; wrong()) repairs++;
  expect(answer()).toMatchObject({ type: "ERROR", code: "LIMIT", subscription: 1 });
  expect(repairs).toBeWithin(5, 11);
  wrong(); // it has ended: the link has not
  hear({ type: "PING", opaque: new Uint8Array(8) });
  expect(answer().type).toBe("PONG");
  end();
});

test("whoever has a tree hashed again and again is told to wait", () => {
  const memory = new Memory(2 ** 22);
  let now = 0;
  const { link, allowance, hear, subscribe, end } = admitted(memory, () => now);
  memory.write(0, 64);
  let gathered = 0;
  const { gather } = memory;
  memory.gather = (runs, into) => ((gathered += into.byteLength), gather.call(memory, runs, into));
  memory.changedSince = (since, clip = null) =>
    // all of it for a new tree, a little for a delta
    ({ version: memory.version, runs: since === 0 ? clip! : (Float64Array.of(0, 64) as Runs) });
  const have = { incarnation: memory.incarnation, version: memory.version - 1 };
  let id = 0;
  const restless = (times: number) => {
    link.written = [];
    gathered = 0;
    for (let i = 0; i < times; i++) {
      subscribe(++id, 0, memory.bytes, { verify: true, have });
      hear({ type: "UNSUBSCRIBE", id });
      const ping = link.written.findLast(({ type }) => type === "PING");
      if (ping?.type === "PING") hear({ type: "PONG", opaque: ping.opaque });
    }
    return link.written.filter(({ type }) => type === "DELTA").length;
  };
  const leaves = memory.bytes / 4096;
  allowance.payLeaves(leavesMax - 3 * leaves);
  expect(restless(50)).toBeWithin(3, 5);
  expect(gathered).toBeWithin(3 * memory.bytes, 5 * memory.bytes);
  expect(link.written.at(-1)).toMatchObject({ type: "ERROR", code: "LIMIT", subscription: 50 });
  now += 1000;
  expect(restless(50)).toBeWithin(1, leavesMax / 8 / leaves + 2);
  subscribe(++id, 0, memory.bytes, { have });
  expect(link.written.at(-1)!.type).toBe("DELTA"); // what is not verified costs no hashing
  end();
});
