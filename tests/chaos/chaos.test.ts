import { describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Socket } from "bun";
import { start } from "../../src/index.ts";
import { crc32c } from "../../src/protocol/crc32c.ts";
import { frame } from "../../src/protocol/encode.ts";
import { until } from "../node/until.ts";
import { Random, seed } from "../transport/random.ts";
import { Course } from "./course.ts";
import { FrameCutter } from "./frame_cutter.ts";
import { digest, look, paint } from "./picture.ts";
import { drawFlip, drawPlan, honest, kinds, type Mischief } from "./plan.ts";
import { ChaosProxy } from "./proxy.ts";
import { eager, type Report, Stage } from "./stage.ts";

setDefaultTimeout(30_000);

function joined(parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

/** Some frames as they travel. */
function framesOf(random: Random, count: number): Uint8Array[] {
  return Array.from({ length: count }, () =>
    joined(frame(crc32c, 11, [random.bytes(random.between(0, 300))])),
  );
}

/** What comes out of a course into which the bytes go in pieces drawn by `cuts`. */
function through(mischief: Mischief, bytes: Uint8Array, cuts: Random): { out: Uint8Array; course: Course } {
  const course = new Course(mischief, new Random(7));
  const out: Uint8Array[] = [];
  for (let at = 0; at < bytes.length;) {
    const end = Math.min(bytes.length, at + cuts.between(1, 500));
    out.push(...course.take(bytes.slice(at, end)).map((parcel) => parcel.bytes));
    at = end;
  }
  out.push(...course.release().map((parcel) => parcel.bytes));
  return { out: joined(out), course };
}

describe(`a course (SEED=${seed})`, () => {
  const random = new Random();
  const frames = framesOf(random, 200);
  const bytes = joined(frames);

  test("draws the same plan from the same dice", () => {
    for (const kind of kinds)
      expect(drawPlan(new Random(seed), kind)).toEqual(drawPlan(new Random(seed), kind));
  });

  test("passes everything on that is only to be cut up, kept or late", () => {
    const plans: Mischief[] = [
      {},
      { sliceBytesMax: 1 },
      { sliceBytesMax: 7 },
      { hold: { bytes: 3000, ms: 1 } },
      { delayMs: [1, 9], burstsPerMille: 100 },
      { stall: { afterBytes: 1000, ms: 50 } },
    ];
    for (const plan of plans) expect(through(plan, bytes, random).out).toEqual(bytes);
  });

  test("cuts after exactly so many bytes", () => {
    for (const cutAfter of [0, 1, 15, 16, 17, 999, bytes.length]) {
      const { out, course } = through({ cutAfter, sliceBytesMax: 50 }, bytes, random);
      expect(out).toEqual(bytes.slice(0, cutAfter));
      expect(course.isCut).toBe(true);
    }
    expect(through({ cutAfter: bytes.length + 1 }, bytes, random).course.isCut).toBe(false);
  });

  test("flips one byte where it was drawn, however the stream arrives", () => {
    for (let i = 0; i < 50; i++) {
      const flip = drawFlip(random, bytes.length / 4);
      const { out, course } = through({ flip }, bytes, random);
      const different = [...bytes.keys()].filter((at) => out[at] !== bytes[at]);
      expect(different).toEqual(flip.at < bytes.length ? [flip.at] : []);
      expect(course.isFlipped).toBe(different.length > 0);
      if (different.length > 0)
        expect(out[flip.at]! ^ bytes[flip.at]!).toBe(flip.whole ? 255 : 1 << flip.bit);
    }
  });

  test("sends whole frames twice or in another order, the same ones however the stream arrives", () => {
    const plan = { duplicatesPerMille: 100, swapsPerMille: 100 };
    const { out, course } = through(plan, bytes, random);
    expect(through(plan, bytes, random).out).toEqual(out);
    expect(course.duplicates).toBeGreaterThan(5);
    expect(course.swaps).toBeGreaterThan(5);
    const seen = new FrameCutter().push(out).map((each) => Buffer.from(each).toString("hex"));
    const sent = frames.map((each) => Buffer.from(each).toString("hex"));
    expect(seen.length).toBe(sent.length + course.duplicates);
    expect(new Set(seen)).toEqual(new Set(sent));
  });

  test("a stall begins at its byte", () => {
    const course = new Course({ stall: { afterBytes: 100, ms: 30 } }, random);
    const waits = course.take(bytes.slice(0, 250)).map((parcel) => [parcel.bytes.length, parcel.afterMs]);
    expect(waits).toEqual([
      [100, 0],
      [150, 30],
    ]);
  });
});

describe("the proxy", () => {
  /** A server that sends `bytes` to whoever comes, or what it is sent back to it. */
  function serve(bytes: Uint8Array | null) {
    return Bun.listen<{ at: number }>({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        open(socket) {
          socket.data = { at: 0 };
          if (bytes) send(socket, bytes);
        },
        drain: (socket) => void (bytes && send(socket, bytes)),
        data: (socket, some) => void (bytes ?? socket.write(some)),
      },
    });
  }

  function send(socket: Socket<{ at: number }>, bytes: Uint8Array): void {
    const written = socket.write(bytes.subarray(socket.data.at));
    socket.data.at += Math.max(0, written);
    if (socket.data.at === bytes.length) socket.shutdown();
  }

  /** All that comes until the end, or for as long as `pauseMs` says nothing is read. */
  function receive(address: string, pauseMs = 0): Promise<Uint8Array> {
    const heard: Uint8Array[] = [];
    const { promise, resolve } = Promise.withResolvers<Uint8Array>();
    void Bun.connect({
      hostname: "127.0.0.1",
      port: Number(address.split(":")[1]),
      socket: {
        open(socket) {
          if (pauseMs === 0) return;
          socket.pause();
          setTimeout(() => socket.resume(), pauseMs);
        },
        data: (_, bytes) => void heard.push(bytes.slice()),
        close: () => resolve(joined(heard)),
      },
    });
    return promise;
  }

  test(`brings every byte through whatever only slows it down (SEED=${seed})`, async () => {
    const random = new Random();
    const bytes = random.bytes(300_000);
    using server = serve(bytes) as unknown as Disposable & { port: number };
    for (const toFollower of [
      {},
      { sliceBytesMax: 1500 },
      { hold: { bytes: 50_000, ms: 3 } },
      { delayMs: [1, 5] as const, burstsPerMille: 20 },
      { stall: { afterBytes: 100_000, ms: 60 } },
    ]) {
      using proxy = new ChaosProxy(`127.0.0.1:${server.port}`, () => ({ ...honest, toFollower }), seed);
      expect(Bun.SHA256.hash(await receive(proxy.address))).toEqual(Bun.SHA256.hash(bytes));
    }
  });

  test("a cut link brings exactly the bytes before the cut", async () => {
    const bytes = new Random().bytes(5000);
    using server = serve(bytes) as unknown as Disposable & { port: number };
    for (const cutAfter of [0, 1, 777, 4999]) {
      const plan = { ...honest, toFollower: { cutAfter } };
      using proxy = new ChaosProxy(`127.0.0.1:${server.port}`, () => plan, seed);
      expect(await receive(proxy.address)).toEqual(bytes.slice(0, cutAfter));
      expect(proxy.links[0]!.toFollower).toMatchObject({ isCut: true, sentBytes: cutAfter });
    }
  });

  test("holds back a sender whose reader does not read", async () => {
    const bytes = new Uint8Array(64 * 2 ** 20);
    using server = serve(bytes) as unknown as Disposable & { port: number };
    using proxy = new ChaosProxy(`127.0.0.1:${server.port}`, () => honest, seed);
    const received = receive(proxy.address, 300);
    await Bun.sleep(200);
    const early = proxy.links[0]!.toFollower.sentBytes;
    expect(early).toBeGreaterThan(0);
    expect(early).toBeLessThan(bytes.length / 2);
    expect((await received).length).toBe(bytes.length);
  });
});

describe("the picture", () => {
  test("knows every version, and notices what is none", async () => {
    const options = { shape: [64], arrays: { bytes: { shape: [256], dtype: "u8" as const } } };
    await using node = await start("picture", { listen: 0, ...options });
    await using follower = await start("follower", { server: node.addresses[0]!, ...options });
    for (let version = 1; version <= 300; version++) {
      expect(paint(node, 5, 8)).toBe(version);
      expect(look(node)).toMatchObject({ version, salt: 5, wrong: null });
    }
    await until(() => look(follower).version === 300, "the follower");
    expect(look(follower).wrong).toBeNull();
    expect(digest(follower)).toEqual(digest(node));
    node.write((cells) => cells.set(9, -1));
    expect(look(node).wrong).toStartWith("cell 9 ");
    await until(() => look(follower).wrong !== null, "the follower to see it too");
    node.write((_, tx) => tx.array("bytes").set(40, 0));
    node.write((cells) => cells.set(9, 0));
    expect(look(node).wrong).not.toBeNull();
  });
});

describe("the oracle", () => {
  test("sees bytes that were changed with their checksums, and checkHash mends them", async () => {
    await using stage = await Stage.open({ seed, lanes: 2 });
    for (const [i, lane] of stage.lanes.entries()) {
      lane.arm(() => ({ ...honest, toFollower: { forgeriesPerMille: 300 } }));
      const options = { server: lane.address, checkHash: i === 1, ...eager };
      await stage.followers.call("follow", `f${i}`, options);
    }
    for (let commits = 0; commits < 40; commits++) {
      const version = await stage.publisher.call<number>("commit");
      for (const i of [0, 1]) await stage.followers.call("reaches", `f${i}`, version);
    }
    const [plain, verified] = await Promise.all(
      [0, 1].map((i) => stage.followers.call<Report & { link: { repairs: number } }>("report", `f${i}`)),
    );
    expect((await stage.judge(plain!)).length).toBeGreaterThan(0);
    expect(plain!.wrong.length).toBeGreaterThan(0);
    expect(verified!.link.repairs).toBeGreaterThan(0);
    expect(await stage.judge(verified!)).toEqual([]);
  });
});
