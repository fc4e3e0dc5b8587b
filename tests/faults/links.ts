/** F29 to F32, F35: a proxy that does mischief to the links between processes. */
import { frameTypes } from "../../src/protocol/messages.ts";
import { certificates } from "../transport/certificates.ts";
import { drawFlip, drawPlan, honest, type Mischief, type Plan } from "../chaos/plan.ts";
import { eager, type Lane, type Report, Stage } from "../chaos/stage.ts";
import { meshed } from "./meshes.ts";
import { amount, count, type Fault, mib, ms, quantile, type Trial } from "./fault.ts";

/** States that a session waits for: the first, and some small deltas. */
const sessionUpdates = 6;
/** The publisher commits this often, so that a session is a matter of some milliseconds. */
const tickMs = 3;

async function session(
  trial: Trial,
  stage: Stage,
  lane: Lane,
  what: string,
  updates = sessionUpdates,
  options = {},
): Promise<Report> {
  const name = `f${stage.lanes.indexOf(lane)}`.padEnd(3, "-"); // one length, so that all sessions are as long
  const report = await stage.followers.call<Report>(
    "session",
    name,
    { server: lane.address, ...eager, ...options },
    updates,
  );
  for (const wrong of await stage.judge(report)) trial.violate(`${what}: ${wrong}`);
  return report;
}

/** Runs `attempt` for 0 to `wanted` - 1, as many at a time as there are lanes, until that is done or the time is over. */
async function onAllLanes(
  trial: Trial,
  stage: Stage,
  wanted: number,
  attempt: (lane: Lane, i: number) => Promise<void>,
): Promise<number> {
  let next = 0;
  const work = async (lane: Lane) => {
    while (trial.more(next, wanted)) await attempt(lane, next++);
  };
  await Promise.all(stage.lanes.map(work));
  return Math.min(next, wanted);
}

/** Ways to follow, of which each has sessions of its own. */
const followings = [
  { what: "latest", door: 0, options: {} },
  { what: "every, verified", door: 0, options: { mode: "every", checkHash: true } },
  { what: "WebSocket", door: 1, options: {} },
] as const;

const twoDoors = { listen: [0, "ws://127.0.0.1:0"] };

const cuts: Fault = {
  id: "F29",
  briefly: 3,
  name: "a link cut after N bytes, for every N of a session",
  seconds: 45,
  async run(trial) {
    const rows: string[] = [];
    for (const [i, following] of followings.entries())
      rows.push(await trial.part(1 / (followings.length - i), () => sweep(trial, following)));
    return `${rows.join("; ")}; divergences ${trial.violationCount}`;
  },
};

async function sweep(trial: Trial, { what, door, options }: (typeof followings)[number]): Promise<string> {
  await using stage = await Stage.open({ seed: trial.seed, door, publisher: twoDoors });
  await stage.publisher.call("tick", tickMs);
  const lane = stage.lanes[0]!;
  lane.arm(() => honest);
  await session(trial, stage, lane, "uncut", sessionUpdates - 1, options); // the others go on a little longer
  const down = lane.links[0]!.toFollower.sentBytes;
  const up = lane.links[0]!.toPublisher.sentBytes;
  const total = down + up;
  const step = coprime(total);
  let reached = 0;
  const tried = await onAllLanes(trial, stage, total, async (lane, i) => {
    const at = (i * step) % total; // far from one another, so that a short run sees all parts
    const [direction, cutAfter] =
      at < down ? (["toFollower", at] as const) : (["toPublisher", at - down] as const);
    lane.arm((link) => (link === 0 ? { ...honest, [direction]: { cutAfter } } : honest));
    await session(
      trial,
      stage,
      lane,
      `${what}: cut ${direction} after ${cutAfter} bytes`,
      sessionUpdates,
      options,
    );
    const cut = lane.links[0]![direction];
    if (cut.isCut) reached++;
    else if (cut.sentBytes >= cutAfter)
      trial.violate(`${what}: ${cut.sentBytes} bytes ${direction} came through a link cut after ${cutAfter}`);
  });
  trial.injections += reached;
  // On a busy machine commits come together, and a session may end before its last offsets.
  if (reached < 0.5 * tried) trial.violate(`${what}: only ${reached} of ${tried} links were cut`);
  return `${what} ${amount(tried, total)} offsets (${count(down)} down, ${count(up)} up)`;
}

/** A number near the golden section of `n` that shares no factor with it. */
function coprime(n: number): number {
  const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));
  let step = Math.max(1, Math.floor(n * 0.618));
  while (gcd(step, n) !== 1) step++;
  return step;
}

const slicedWanted = 400;
const bulkBytesWanted = 2 ** 30;
const trickleBytesWanted = 4 * 2 ** 20;

const pieces: Fault = {
  id: "F30",
  briefly: 1,
  name: "bytes sliced, held together, and late",
  seconds: 40,
  async run(trial) {
    let done = 0;
    {
      await using stage = await Stage.open({ seed: trial.seed, door: 1, publisher: twoDoors });
      await stage.publisher.call("tick", tickMs);
      done = await trial.part(0.3, () =>
        onAllLanes(trial, stage, slicedWanted, async (lane, i) => {
          const kind = (["slice", "hold", "delay"] as const)[i % 3]!;
          const plan = i === 0 ? everyByteAlone : drawPlan(trial.random, kind);
          lane.arm(() => plan);
          const options = i % 2 === 0 ? { mode: "every", checkHash: true } : {};
          await session(trial, stage, lane, `${kind} ${JSON.stringify(plan)}`, sessionUpdates, options);
        }),
      );
    }
    const trickle = await trial.part(0.4, () =>
      move(trial, 2 ** 12, trickleBytesWanted, { sliceBytesMax: 7, stall: { afterBytes: 40_000, ms: 100 } }),
    );
    const bulk = await move(trial, 2 ** 20, bulkBytesWanted, {
      sliceBytesMax: 65_536,
      stall: { afterBytes: 2 ** 22, ms: 100 },
    });
    trial.injections += done + trickle.commits + bulk.commits;
    const text =
      `${mib(trickle.bytes)} in pieces of 1 to 7 bytes and ${mib(bulk.bytes)} in pieces of up to 64 KiB, with stalls: ` +
      `SHA-256 equal, publisher's memory +${mib(Math.max(trickle.grown, bulk.grown))}`;
    trial.measure("N14", text, trial.violationCount > 0 ? false : null); // a whole GiB in such pieces takes an hour
    return `${amount(done, slicedWanted)} sessions by WebSocket; ${text}`;
  },
};

const everyByteAlone: Plan = { toFollower: { sliceBytesMax: 1 }, toPublisher: { sliceBytesMax: 1 } };

/** Moves whole images through a mischievous link, one after the other, until `bytesWanted` have gone or the time is over. */
async function move(trial: Trial, cells: number, bytesWanted: number, toFollower: Mischief) {
  await using stage = await Stage.open({ seed: trial.seed, cells, stride: 1, lanes: 1 });
  const lane = stage.lanes[0]!;
  lane.arm(() => ({ ...honest, toFollower }));
  await stage.followers.call("follow", "f", { server: lane.address, heartbeatMs: 30_000, ...eager });
  const before = await stage.publisher.call<{ rss: number }>("usage");
  let most = before.rss;
  let commits = 0;
  const sent = () => lane.links.reduce((sum, { toFollower: { sentBytes } }) => sum + sentBytes, 0);
  while (trial.more(sent(), bytesWanted)) {
    const version = await stage.publisher.call<number>("commit");
    commits++;
    await stage.followers.call("reaches", "f", version);
    if (commits % 8 === 1) most = Math.max(most, (await stage.publisher.call<{ rss: number }>("usage")).rss);
  }
  for (const wrong of await stage.judge(await stage.followers.call<Report>("report", "f")))
    trial.violate(wrong);
  return { bytes: sent(), commits, grown: most - before.rss };
}

const flipsWanted = 10_000;
const handshake = new Set<number>([
  frameTypes.HELLO,
  frameTypes.CHALLENGE,
  frameTypes.AUTH,
  frameTypes.WELCOME,
]);
const damaged = new Set(["BAD_HEADER", "BAD_CHECKSUM", "TOO_LONG"]);

const flips: Fault = {
  id: "F31",
  briefly: 1.5,
  name: "bits and bytes flipped on the way, one in 10,000",
  seconds: 30,
  async run(trial) {
    const underTls = await trial.part(0.15, () => flipsUnderTls(trial));
    await using stage = await Stage.open({
      seed: trial.seed,
      cells: 512,
      lanes: 12,
      publisher: { heartbeatMs: 500 },
    });
    await stage.publisher.call("tick", 2, 2);
    const total = { toFollower: 0, toPublisher: 0, inHandshake: 0 };
    /** Flips that were sent with the whole frame around them. */
    const sent = () =>
      stage.lanes.reduce(
        (sum, lane) => sum + lane.links.filter((link) => flippedWhole(link) !== null).length,
        0,
      );
    let isOver = false;
    for (const [i, lane] of stage.lanes.entries()) {
      lane.arm(() => {
        if (isOver) return honest;
        // What goes up is little, and over after the handshake; so the place is drawn among fewer.
        return trial.random.between(0, 3) > 0
          ? { ...honest, toFollower: { flip: drawFlip(trial.random, 10_000) } }
          : { ...honest, toPublisher: { flip: drawFlip(trial.random, 250) } };
      });
      await stage.followers.call("follow", `f${i}`, { server: lane.address, ...eager, heartbeatMs: 500 });
    }
    while (trial.more(sent(), flipsWanted)) await Bun.sleep(20);
    isOver = true;
    await stage.publisher.call("tick", 0);
    // What is on its way arrives before anybody counts.
    await settled(() =>
      stage.lanes.every((lane) => lane.links.every((link) => flippedWhole(link) === null || link.isOver)),
    );
    // A process that was held up for a second may find its link reset before it has read the last of it.
    let unread = 0;
    for (const i of stage.lanes.keys())
      unread += cutHere((await stage.followers.call<Report>("report", `f${i}`)).tally);
    let fromStrangers = 0;
    for (const lane of stage.lanes) {
      for (const link of lane.links) {
        const direction = flippedWhole(link);
        // Before the welcome a follower tells the first failure of an outage, and a publisher one a second; but the link must have gone.
        if (direction && handshake.has(link[direction].flippedType!)) {
          total.inHandshake++;
          if (direction === "toPublisher") fromStrangers++;
          if (!link.isOver) trial.violate("a link stands after a flip in its handshake");
        } else if (direction) total[direction]++;
      }
      lane.proxy.cutAll();
      lane.arm(() => honest);
    }
    const version = await stage.publisher.call<number>("commit");
    const found = { toFollower: 0, toPublisher: 0 };
    const resumes: number[] = [];
    for (const i of stage.lanes.keys()) {
      await stage.followers.call("reaches", `f${i}`, version);
      const report = await stage.followers.call<Report>("report", `f${i}`);
      for (const wrong of await stage.judge(report)) trial.violate(wrong);
      found.toFollower += foundHere(trial, report.tally);
      resumes.push(...report.resumes);
    }
    found.toPublisher = foundHere(trial, await stage.publisher.call("tally"));
    for (const direction of ["toFollower", "toPublisher"] as const)
      if (found[direction] + unread < total[direction])
        trial.violate(
          `${total[direction] - found[direction]} of ${total[direction]} flips ${direction} were not noticed, and only ${unread} links were cut`,
        );
    const { door } = await stage.publisher.call<{ door: { faulty: number } }>("stats");
    if (door.faulty + unread < fromStrangers)
      trial.violate(`${fromStrangers} flips came from strangers, and ${door.faulty} were counted`);
    const flipped = total.toFollower + total.toPublisher + total.inHandshake;
    trial.injections += flipped + underTls;
    const text =
      `${amount(flipped, flipsWanted)} flips and ${count(underTls)} under TLS, undetected ${Math.max(0, total.toFollower - found.toFollower - unread) + Math.max(0, total.toPublisher - found.toPublisher - unread)}, links cut before they were read ${unread}; ` +
      `back in step after p50 ${ms(quantile(resumes, 0.5))}, p99 ${ms(quantile(resumes, 0.99))}, max ${ms(quantile(resumes, 1))}`;
    trial.measure(
      "N25",
      text,
      flipped >= flipsWanted ? trial.violationCount === 0 && quantile(resumes, 0.99) <= 1000 : null,
    );
    return text;
  },
};

/** Waits until it is so, ten seconds at most: what follows says what is wrong where it never is. */
async function settled(isSo: () => boolean): Promise<void> {
  const end = performance.now() + 10_000;
  while (!isSo() && performance.now() < end) await Bun.sleep(20);
}

const tlsFlipsWanted = 500;

/** Under TLS nothing of ours is looked at before TLS has found the damage: the link ends, without a code. */
async function flipsUnderTls(trial: Trial): Promise<number> {
  const { authority: ca, server: tls } = certificates;
  const publisher = { listen: "tls:127.0.0.1:0", tls, heartbeatMs: 500 };
  await using stage = await Stage.open({ seed: trial.seed, cells: 512, lanes: 4, publisher });
  await stage.publisher.call("tick", 2, 2);
  const flipped = () => stage.lanes.flatMap((lane) => lane.links.filter((link) => link.toFollower.isFlipped));
  let isOver = false;
  for (const [i, lane] of stage.lanes.entries()) {
    lane.arm(() => (isOver ? honest : { ...honest, toFollower: { flip: drawFlip(trial.random, 5000) } }));
    const options = { server: lane.address, tls: { ca }, ...eager, heartbeatMs: 500 };
    await stage.followers.call("follow", `f${i}`, options);
  }
  while (trial.more(flipped().length, tlsFlipsWanted)) await Bun.sleep(20);
  isOver = true;
  await settled(() => flipped().every((link) => link.isOver));
  const unnoticed = flipped().filter((link) => !link.isOver).length;
  if (unnoticed > 0) trial.violate(`${unnoticed} TLS links with a flip stand`);
  const flips = flipped().length;
  for (const lane of stage.lanes) {
    lane.proxy.cutAll();
    lane.arm(() => honest);
  }
  const version = await stage.publisher.call<number>("tick", 0);
  for (const i of stage.lanes.keys()) {
    await stage.followers.call("reaches", `f${i}`, version);
    for (const wrong of await stage.judge(await stage.followers.call<Report>("report", `f${i}`)))
      trial.violate(`TLS: ${wrong}`);
  }
  return flips;
}

function flippedWhole(link: Lane["links"][number]): "toFollower" | "toPublisher" | null {
  if (link.toFollower.isFlipWhole) return "toFollower";
  return link.toPublisher.isFlipWhole ? "toPublisher" : null;
}

/** Links that this side has closed because of damaged bytes. Every end must have one of the known reasons. */
function foundHere(trial: Trial, tally: Readonly<Record<string, number>>): number {
  let found = 0;
  for (const [what, times] of Object.entries(tally)) {
    const [, by, code] = /^end: closed by (this side|the peer): (\w+):/.exec(what) ?? [];
    if (by === "this side" && damaged.has(code!)) found += times;
    else if (code && !damaged.has(code)) trial.violate(`${times} links ended with ${what}`);
  }
  return found;
}

/** Links that ended without a word. */
function cutHere(tally: Readonly<Record<string, number>>): number {
  const ends = Object.entries(tally).filter(([what]) => /^end: (?!closed by)/.test(what));
  return ends.reduce((sum, [, times]) => sum + times, 0);
}

const meshRoundsWanted = 25;
const shuffledWanted = 1500;
/** What a frame at the wrong moment may be called. */
const outOfPlace = new Set(["UNEXPECTED", "STALE_DELTA", "BAD_MESSAGE", "REMOTE"]);

const frames: Fault = {
  id: "F32",
  briefly: 3,
  name: "frames sent twice and in another order, and all mischief in a mesh",
  seconds: 35,
  async run(trial) {
    await using stage = await Stage.open({ seed: trial.seed });
    await stage.publisher.call("tick", tickMs);
    let duplicates = 0;
    let swaps = 0;
    const reasons = new Map<string, number>();
    const sessions = await trial.part(0.5, () =>
      onAllLanes(trial, stage, shuffledWanted, async (lane) => {
        const plan = drawPlan(trial.random, "frames");
        lane.arm((link) => (link < 20 ? plan : honest));
        const report = await session(trial, stage, lane, JSON.stringify(plan), sessionUpdates, {
          heartbeatMs: 50,
          ...(trial.random.between(0, 1) && { mode: "every", checkHash: true }),
        });
        for (const what of Object.keys(report.tally)) {
          const code = /^end: closed by [\w ]+: (\w+):/.exec(what)?.[1];
          if (!code) continue;
          reasons.set(code, (reasons.get(code) ?? 0) + 1);
          if (!outOfPlace.has(code)) trial.violate(`a link ended with ${what}`);
        }
        for (const { toFollower, toPublisher } of lane.links) {
          duplicates += toFollower.duplicates + toPublisher.duplicates;
          swaps += toFollower.swaps + toPublisher.swaps;
        }
      }),
    );
    trial.injections += duplicates + swaps;
    const named = [...reasons].sort().map(([code, times]) => `${code} ${times}`);
    const mesh = await meshed(trial, meshRoundsWanted);
    return (
      `${amount(sessions, shuffledWanted)} sessions, ${count(duplicates)} frames twice, ${count(swaps)} swapped; ` +
      `ends: ${named.join(", ") || "none"}; applied twice ${trial.violationCount}; ${mesh}`
    );
  },
};

const weathers: readonly (readonly [string, Mischief])[] = [
  ["none", {}],
  ["20 ms", { delayMs: [20, 20] }],
  ["20 to 60 ms", { delayMs: [20, 60] }],
  ["20 ms, one in 50 ten times", { delayMs: [20, 20], burstsPerMille: 20 }],
];
const lateSeconds = 20;

const late: Fault = {
  id: "F35",
  name: "delay, jitter and bursts of 20 to 200 ms",
  seconds: lateSeconds,
  async run(trial) {
    await using stage = await Stage.open({ seed: trial.seed, lanes: weathers.length });
    for (const [i, [, mischief]] of weathers.entries()) {
      const lane = stage.lanes[i]!;
      lane.arm(() => ({ toFollower: mischief, toPublisher: mischief }));
      await stage.followers.call("follow", `f${i}`, { server: lane.address, ...eager });
    }
    await stage.publisher.call("tick", 10);
    await Bun.sleep(1000 * Math.min(lateSeconds, Math.max(0.5, trial.secondsLeft)));
    await stage.publisher.call("tick", 0);
    const version = await stage.publisher.call<number>("commit");
    const rows: string[] = [];
    for (const [i, [name]] of weathers.entries()) {
      await stage.followers.call("reaches", `f${i}`, version);
      const report = await stage.followers.call<Report>("report", `f${i}`);
      for (const wrong of await stage.judge(report)) trial.violate(wrong);
      rows.push(`${name}: p50 ${ms(quantile(report.ages, 0.5))} p99 ${ms(quantile(report.ages, 0.99))}`);
      if (i > 0) trial.injections += report.updates;
    }
    return `${count(version)} commits; ${rows.join("; ")}; divergences ${trial.violationCount}`;
  },
};

export const links: readonly Fault[] = [cuts, pieces, flips, frames, late];
