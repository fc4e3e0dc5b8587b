/** F39: lengths that lie, and little that becomes much. */
import { deflateRawSync } from "node:zlib";
import { Actor } from "../chaos/actor.ts";
import { eager } from "../chaos/stage.ts";
import { crc32c } from "../../src/protocol/crc32c.ts";
import { handshakePayloadBytesMax, headerBytes, payloadBytesMax } from "../../src/protocol/limits.ts";
import { frameTypes } from "../../src/protocol/messages.ts";
import { count, type Fault, mib, type Trial } from "./fault.ts";
import { closeAll, processOf, Stranger, within } from "./strangers.ts";

/** A frame's header that announces so many bytes, all of it in order, and one byte of them. */
function announcing(payloadBytes: number): Uint8Array {
  const bytes = new Uint8Array(headerBytes + 1);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, payloadBytes, true);
  view.setUint8(4, frameTypes.HELLO);
  view.setUint32(8, payloadBytes === 1 ? crc32c(new Uint8Array(1)) : 0, true);
  view.setUint32(12, crc32c(bytes.subarray(0, 12)), true);
  return bytes;
}

const upgrade = [
  "GET / HTTP/1.1",
  "Host: 127.0.0.1",
  "Upgrade: websocket",
  "Connection: Upgrade",
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
  "Sec-WebSocket-Version: 13",
  "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
  "",
  "",
].join("\r\n");

/** A masked binary WebSocket frame that announces so many bytes; with `compressed` it says that they are. */
function messageOf(bytes: bigint, payload: Uint8Array, compressed = false): Uint8Array {
  const frame = new Uint8Array(14 + payload.length);
  frame[0] = 0x82 | (compressed ? 0x40 : 0);
  frame[1] = 0x80 | 127;
  new DataView(frame.buffer).setBigUint64(2, bytes);
  frame.set(payload, 14); // the mask is zeros
  return frame;
}

/** What is to come back; null: it waits for more, and is not told anything yet. */
type Expected = string | null;

const lengths: readonly (readonly [bytes: number, Expected])[] = [
  [0, "BAD_MESSAGE"],
  [1, "BAD_MESSAGE"],
  [handshakePayloadBytesMax, null],
  [handshakePayloadBytesMax + 1, "TOO_LONG"],
  [payloadBytesMax, "TOO_LONG"],
  [payloadBytesMax + 1, "TOO_LONG"],
  [2 ** 31 - 1, "TOO_LONG"],
  [2 ** 31, "TOO_LONG"],
  [2 ** 32 - 1, "TOO_LONG"],
];

const messages: readonly (readonly [bytes: bigint, Expected])[] = [
  [2n ** 24n, null],
  [2n ** 24n + 1n, "\u0003\u00f1"], // 1009
  [2n ** 31n - 1n, "\u0003\u00f1"],
  [2n ** 31n, "\u0003\u00f1"],
  [2n ** 32n - 1n, "\u0003\u00f1"],
  [2n ** 53n, "\u0003\u00f1"],
  [2n ** 63n, ""], // the highest bit must be zero: any refusal will do
];

async function expectAnswer(
  trial: Trial,
  stranger: Stranger,
  what: string,
  expected: Expected,
): Promise<void> {
  const closed = await within(stranger.ended.promise, expected === null ? 50 : 2000);
  const said = new TextDecoder("latin1").decode(stranger.heard);
  if (closed !== (expected !== null)) trial.violate(`${what}: ${closed ? "closed" : "not closed"}`);
  else if (expected && !said.includes(expected))
    trial.violate(`${what}: the answer is ${JSON.stringify(said.slice(-80))}`);
  stranger[Symbol.dispose]();
}

async function liars(trial: Trial, tcp: number, ws: number): Promise<number> {
  for (const [bytes, expected] of lengths) {
    const stranger = await Stranger.open(tcp, { first: announcing(bytes) });
    if (bytes === 1) stranger.write(new Uint8Array(7));
    await expectAnswer(trial, stranger, `a frame of ${bytes} bytes`, expected);
  }
  for (const [bytes, expected] of messages) {
    const stranger = await Stranger.open(ws, { first: upgrade });
    await Bun.sleep(5);
    stranger.write(messageOf(bytes, new Uint8Array(1)));
    await expectAnswer(trial, stranger, `a message of ${bytes} bytes`, expected);
  }
  return lengths.length + messages.length;
}

const announcersWanted = 1000;
const bombBytes = 64 * 2 ** 20;
/** What a process' memory changes by itself; two frames of the protocol are less than can be seen. */
const rssGrain = 2 * 2 ** 20;

const bombs: Fault = {
  id: "F39",
  name: "lengths that lie, promises by a thousand, and a compressed bomb",
  seconds: 6,
  async run(trial) {
    await using publisher = new Actor("publisher");
    await using followers = new Actor("followers");
    const { addresses } = await publisher.call<{ addresses: string[] }>(
      "open",
      { listen: [0, "ws://127.0.0.1:0"] },
      { salt: trial.seed, cells: 64 },
    );
    const [tcp, ws] = addresses.map((address) => Number(/:(\d+)\/?$/.exec(address)![1])) as [number, number];
    const told = await liars(trial, tcp, ws);

    await publisher.call("usage");
    let before = processOf(publisher.pid).rss;
    const promise = announcing(handshakePayloadBytesMax);
    const crowd = await Promise.all(
      Array.from({ length: announcersWanted }, () => Stranger.open(tcp, { first: promise })),
    );
    await Bun.sleep(100);
    const promised = processOf(publisher.pid).rss - before;
    closeAll(crowd);
    if (promised > 64 * 2 ** 20) trial.violate(`${announcersWanted} promises cost ${mib(promised)}`);

    before = processOf(publisher.pid).rss;
    const bomb = deflateRawSync(new Uint8Array(bombBytes));
    const bomber = await Stranger.open(ws, { first: upgrade });
    await Bun.sleep(20);
    bomber.write(messageOf(BigInt(bomb.length), bomb, true));
    const refused = await within(bomber.ended.promise, 2000);
    const blown = processOf(publisher.pid).rss - before;
    const answer = new TextDecoder("latin1").decode(bomber.heard);
    bomber[Symbol.dispose]();
    if (!refused) trial.violate("a compressed message was not refused");
    if (/sec-websocket-extensions/i.test(answer)) trial.violate("the door agreed to compression");
    if (blown > 8 * 2 ** 20) trial.violate(`the bomb cost ${mib(blown)}`);

    await publisher.call("commit");
    await followers.call("follow", "honest", { server: addresses[0], ...eager });
    trial.injections += told + announcersWanted + 1;
    const ok = trial.violationCount === 0;
    const ratio = Math.round(bombBytes / bomb.length);
    trial.measure(
      "N3",
      `${told} lengths from 0 to 2^63: each closed with its code or waiting, 0 crashes`,
      ok && null,
    );
    trial.measure(
      "N4",
      `${count(announcersWanted)} links announce 16 KiB and send a byte: memory ${growth(promised)}`,
      ok,
    );
    trial.measure(
      "N5",
      `${ratio}:1, no compression is agreed to, closed unread: memory ${growth(blown)}`,
      ok && blown <= rssGrain,
    );
    return `${told} lengths answered; ${count(announcersWanted)} promises ${growth(promised)}; a bomb of ${ratio}:1 ${growth(blown)}`;
  },
};

function growth(bytes: number): string {
  return bytes <= 0 ? "+0" : `+${mib(bytes)}`;
}

export const hugeness: readonly Fault[] = [bombs];
