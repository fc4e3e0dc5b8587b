import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { createHmac } from "node:crypto";
import { Node } from "../../src/node/node.ts";
import { Keyring, secretsOption } from "../../src/node/options/secrets.ts";
import { realWorld, type World } from "../../src/node/runtime/world.ts";
import { crc32c } from "../../src/memory/digest.ts";
import { encodeMessage } from "../../src/protocol/encode.ts";
import type { AuthMessage, ChallengeMessage, HelloMessage } from "../../src/protocol/messages.ts";
import { Random, seed } from "../transport/random.ts";
import { comingFrom } from "./abroad.ts";
import { helloOf, RawFollower, type RawKey, transcriptOf } from "./raw.ts";
import { until } from "./until.ts";

setDefaultTimeout(30_000);

const secret = "correct horse battery staple";
const key: RawKey = {
  keyId: "desk",
  sign: (transcript) => createHmac("sha256", secret).update(transcript).digest(),
};
const options = { listen: 0, shape: [8], secrets: { desk: { secret } } };

/** A world in which somebody may guess as often as he likes: a minute passes between two attempts. */
function patientWorld(): World & { pass(): void } {
  let ahead = 0;
  return { ...realWorld, now: () => realWorld.now() + ahead, pass: () => void (ahead += 61_000) };
}

/** A whole handshake that was let in, as somebody on the way could have recorded it. */
async function record(address: string): Promise<{ hello: HelloMessage; auth: AuthMessage }> {
  using raw = await RawFollower.connect(address);
  const hello = helloOf("honest");
  raw.send(hello);
  await raw.seen("CHALLENGE");
  const nonce = "ab".repeat(32);
  const mac = key.sign(transcriptOf(hello, raw.of("CHALLENGE")[0]! as ChallengeMessage, nonce, key)).toHex();
  const auth: AuthMessage = { type: "AUTH", keyId: key.keyId, nonce, mac };
  raw.send(auth);
  await raw.seen("WELCOME");
  return { hello, auth };
}

describe("a recorded handshake", () => {
  async function replay(
    address: string,
    messages: readonly (HelloMessage | AuthMessage)[],
  ): Promise<RawFollower> {
    const raw = await RawFollower.connect(address);
    raw.link.write(messages.flatMap((message) => encodeMessage(crc32c, message)));
    await until(() => raw.isClosed || raw.of("WELCOME").length > 0, "an answer");
    return raw;
  }

  test("replayed 1,000 times lets nobody in, there or at another node with the same secret", async () => {
    const world = patientWorld();
    await using node = await Node.start("s", { ...options, uniqueNames: false }, world);
    await using other = await Node.start("o", options, world);
    for (const each of [node, other]) each.on("error", () => {});
    const { hello, auth } = await record(node.addresses[0]!);
    let accepted = 0;
    const codes = new Map<string, number>();
    for (let i = 0; i < 1000; i++) {
      const [target] = (i % 10 === 0 ? other : node).addresses;
      using raw = await replay(target!, [hello, auth]);
      accepted += raw.of("WELCOME").length;
      for (const { code } of raw.of("ERROR")) codes.set(code, (codes.get(code) ?? 0) + 1);
      if (i % 5 === 4) world.pass();
    }
    expect(accepted).toBe(0);
    expect([...codes]).toEqual([["AUTH", 1000]]); // each was looked at, and found wrong
    expect(node.stats().door.failedProofs + other.stats().door.failedProofs).toBe(1000);
    const again = await record(node.addresses[0]!);
    expect(again.auth.mac).not.toBe(auth.mac); // the same words to another challenge
  }, 60_000);

  test("a proof for another key, or without a nonce of this link, is worth nothing either", async () => {
    const world = patientWorld();
    await using node = await Node.start(
      "s",
      { ...options, secrets: { desk: { secret }, till: { secret } } },
      world,
    );
    node.on("error", () => {});
    const { hello, auth } = await record(node.addresses[0]!);
    const variants: AuthMessage[] = [
      { ...auth, keyId: "till" },
      { ...auth, nonce: "00".repeat(32) },
      { ...auth, mac: "00".repeat(32) },
      { type: "AUTH", nonce: auth.nonce },
    ];
    for (const variant of variants) {
      using raw = await replay(node.addresses[0]!, [hello, variant]);
      expect(raw.of("ERROR").map(({ code }) => code)).toEqual(["AUTH"]);
      world.pass();
    }
  });
});

test("ten wrong proofs from one address of another machine within a minute, and not even the right one is looked at", async () => {
  await using node = await Node.start("s", options, comingFrom("[2001:db8::7]:4000"));
  node.on("error", () => {});
  const wrong: RawKey = { ...key, sign: () => new Uint8Array(32) };
  const codes: string[] = [];
  for (let i = 0; i < 12; i++) {
    using raw = await RawFollower.connect(node.addresses[0]!);
    codes.push(
      await raw.join(`guess ${i}`, i < 10 ? wrong : key).then(
        () => "in",
        () => raw.of("ERROR")[0]?.code ?? "none",
      ),
    );
  }
  expect(codes).toEqual([...Array.from({ length: 10 }, () => "AUTH"), "LIMIT", "LIMIT"]);
  expect(node.stats().door).toMatchObject({ failedProofs: 10, turnedAway: 2 });
});

describe("how long a proof takes to be refused", () => {
  const keyring = Keyring.of(secretsOption.parse({ desk: { secret } }));
  const transcript = new Uint8Array(160).fill(7);
  const right = new Uint8Array(key.sign(transcript)); // of a Buffer, slice() would be no copy
  const nearly = right.slice();
  nearly[31]! ^= 1;
  const far = right.map((byte) => ~byte);

  /** Welch's t of two ways to be wrong, in random order, without the slowest tenth, which is not the code's. */
  function difference(judge: (mac: Uint8Array) => boolean, trials: number): number {
    const random = new Random(seed);
    const times: [number[], number[]] = [[], []];
    const mac = new Uint8Array(32); // the same memory for both
    for (let i = 0; i < trials; i++) {
      const which = random.between(0, 1) as 0 | 1;
      mac.set(which === 0 ? nearly : far);
      const begun = Bun.nanoseconds();
      if (judge(mac)) throw new Error("a wrong proof was right");
      times[which].push(Bun.nanoseconds() - begun);
    }
    const bound = [...times[0], ...times[1]].sort((x, y) => x - y)[Math.floor(trials * 0.9)]!;
    const [x, y] = times.map((each) => moments(each.filter((time) => time <= bound)));
    return (x!.mean - y!.mean) / Math.sqrt(x!.variance / x!.count + y!.variance / y!.count);
  }

  function moments(values: readonly number[]): { mean: number; variance: number; count: number } {
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1);
    return { mean, variance, count: values.length };
  }

  test("does not tell how much of it was right", () => {
    const proves = (mac: Uint8Array) => keyring.proves("desk", transcript, mac);
    difference(proves, 5_000);
    const t = difference(proves, 100_000);
    console.log(`31 right bytes and none: t = ${t.toFixed(2)} in 100,000 trials`);
    expect(Math.abs(t)).toBeLessThan(4.5);
  }, 30_000);

  test("a comparison that stops at the first wrong byte would be seen by this", () => {
    const steps = 200; // one comparison is below what the clock can tell
    const naive = (mac: Uint8Array) => {
      let isRight = false;
      for (let i = 0; i < steps; i++) isRight = mac.every((byte, k) => byte === right[k]);
      return isRight;
    };
    difference(naive, 2_000);
    expect(Math.abs(difference(naive, 5_000))).toBeGreaterThan(4.5);
  });
});
