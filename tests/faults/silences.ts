/** F33, F34, F42, F43: peers that cannot be heard, and such as are only slow. */
import { Actor } from "../chaos/actor.ts";
import { honest } from "../chaos/plan.ts";
import { ChaosProxy } from "../chaos/proxy.ts";
import { eager, type Report, Stage, type Usage } from "../chaos/stage.ts";
import { amount, count, type Fault, mib, ms, quantile, type Trial } from "./fault.ts";

/** What a figure is allowed on top of what the heartbeat says: processes are scheduled, timers fire late. */
const graceMs = 1500;

const stallSecondsWanted = 60;
const stalledWanted = 100;
/** Elements of the array: 256 KiB. */
const stallCells = 32_768;
/** A little more than the first state, so that the stall begins in the midst of deltas. */
const stallAfterBytes = stallCells * 8 + 100_000;

/** Those that are stalled, by the address that they go to. */
async function stalled(trial: Trial, stallMs: number, stalledClients: number) {
  await using stage = await Stage.open({
    seed: trial.seed,
    cells: stallCells,
    lanes: 0,
    hashes: false,
    publisher: { listen: [0, "ws://127.0.0.1:0"], heartbeatMs: 300_000 },
  });
  const { publisher } = stage;

  // Until it is told to go on.
  const plan = { ...honest, toFollower: { stall: { afterBytes: stallAfterBytes, ms: 3_600_000 } } };
  using tcp = new ChaosProxy(stage.addresses[0]!, () => plan, trial.seed);
  using ws = new ChaosProxy(stage.addresses[1]!, () => plan, trial.seed + 1);
  await using crowd = new Actor("followers");
  const options = { heartbeatMs: 300_000, ...eager };

  await stage.followers.call("follow", "free", { server: stage.address, ...options });
  await publisher.call("tick", 5);
  await Bun.sleep(stallMs / 4);
  const alone = await stage.followers.call<number[]>("takeAges", "free");

  await stage.followers.call("follow", "tcp", { server: tcp.address, ...options });
  await stage.followers.call("follow", "ws", { server: `ws://${ws.address}`, ...options });
  await crowd.call("crowd", stalledClients - 2, { server: tcp.address, ...options });
  const begun = performance.now();
  await Bun.sleep(stallMs / 4);
  const beside = await stage.followers.call<number[]>("takeAges", "free");

  await untilTrue(
    async () => (await behindOf(publisher)) >= stalledClients / 2,
    "clients to be stalled",
    30_000,
  );
  await publisher.call("tick", 0);
  const before = await publisher.call<Usage>("usage");
  const commits = await publisher.callFor<number>(stallMs + 60_000, "saturate", (3 * stallMs) / 4);
  const after = await publisher.call<Usage>("usage");
  const version = await publisher.call<number>("commit");
  const stalledLinks = (await publisher.call<{ links: { lag: number; queuedBytes: number }[] }>("stats"))
    .links;
  const behind = stalledLinks.filter(({ lag }) => lag > 0).length;
  const queued = Math.max(0, ...stalledLinks.map(({ queuedBytes }) => queuedBytes));

  const seconds = (performance.now() - begun) / 1000;
  for (const proxy of [tcp, ws]) proxy.hurry();
  const resumes: number[] = [];
  const final = await publisher.call<{ sha: string }>("digest");
  for (const name of ["tcp", "ws", "free"]) {
    await stage.followers.callFor(stallMs + 60_000, "reaches", name, version, stallMs + 30_000);
    const report = await stage.followers.call<Report & { endOfGap: number }>("report", name);
    for (const wrong of report.wrong) trial.violate(wrong);
    if (report.sha !== final.sha) trial.violate(`${name} differs from the publisher after the stall`);
    if (Object.keys(report.tally).length > 0) trial.violate(`${name}: ${JSON.stringify(report.tally)}`);
    if (name !== "free") resumes.push(report.endOfGap);
  }
  return {
    alone,
    beside,
    commits,
    behind,
    queued,
    seconds,
    grown: Math.max(0, after.rss - before.rss),
    resumes,
  };
}

async function behindOf(publisher: Actor): Promise<number> {
  const { links } = await publisher.call<{ links: { lag: number }[] }>("stats");
  return links.filter(({ lag }) => lag > 0).length;
}

const stall: Fault = {
  id: "F33",
  name: "one direction stalled, the window shut, under a saturating writer",
  seconds: stallSecondsWanted + 25,
  async run(trial) {
    const stallMs = 1000 * Math.min(stallSecondsWanted, Math.max(2.4, trial.secondsLeft - 20));
    const stalledClients = stallMs >= 20_000 ? stalledWanted : 30;
    const found = await stalled(trial, stallMs, stalledClients);
    trial.injections += stalledClients;
    if (found.behind < stalledClients / 2) trial.violate(`only ${found.behind} clients were really stalled`);
    if (found.grown > stalledClients * 2 ** 20) trial.violate(`the publisher grew by ${mib(found.grown)}`);
    const [before, during] = [quantile(found.alone, 0.99), quantile(found.beside, 0.99)];
    const full = found.seconds >= stallSecondsWanted && stalledClients >= stalledWanted;
    const resumes = `in step ${ms(Math.max(...found.resumes))} after the first bytes`;
    trial.measure(
      "N15",
      `${found.seconds.toFixed(0)} s stalled under ${count(found.commits)} commits: ${count(found.queued)} bytes queued at most, ${resumes}`,
      trial.violationCount > 0 ? false : full ? true : null,
    );
    trial.measure(
      "N18",
      `${stalledClients} stalled: memory +${mib(found.grown)}; another client's p99 ${ms(before)} before, ${ms(during)} beside them`,
      trial.violationCount > 0 ? false : full ? during <= 1.2 * before : null,
    );
    return (
      `${stalledClients} clients stalled ${found.seconds.toFixed(0)} s, ${count(found.commits)} commits: publisher's memory +${mib(found.grown)}, ` +
      `${count(found.queued)} bytes queued for one at most, ${resumes}; others' p99 ${ms(before)} -> ${ms(during)}`
    );
  },
};

const apart = 100;

/** Two network namespaces with one cable between them: the followers in the first, the publisher in the second. */
async function cabled(trial: Trial, heartbeatMs: number) {
  await using followers = new Actor("followers", { under: ["unshare", "-Urn"] });
  await followers.call("now");
  const inside = (pid: number) => ["nsenter", "-t", `${pid}`, "-U", "--preserve-credentials"];
  await using publisher = new Actor("publisher", { under: [...inside(followers.pid), "unshare", "-n"] });
  await publisher.call("tally");
  const at = (pid: number, script: string) => {
    const { success, stderr } = Bun.spawnSync([...inside(pid), "-n", "sh", "-ec", script], {
      stderr: "pipe",
    });
    if (!success) throw new Error(`${script}: ${stderr.toString()}`);
  };
  at(
    followers.pid,
    `ip link add v0 type veth peer name v1 netns ${publisher.pid}; ip addr add 10.77.0.1/24 dev v0; ip link set v0 up`,
  );
  at(publisher.pid, "ip addr add 10.77.0.2/24 dev v1; ip link set v1 up");
  const options = { listen: "10.77.0.2:0", insecure: true, heartbeatMs };
  const { addresses } = await publisher.call<{ addresses: string[] }>("open", options, {
    salt: trial.seed,
    cells: 64,
  });
  const backoff = { reconnect: { minMs: 50, maxMs: 2000 } };
  await followers.call("crowd", apart, { server: addresses[0], heartbeatMs, ...backoff });

  const begun = performance.now();
  at(followers.pid, "ip link set v0 down");
  await publisher.call("commit");
  const noticed = { followers: await lostBy(followers), publisher: await goneFrom(publisher) };
  const detectMs = Math.max(noticed.followers, noticed.publisher) - begun;
  const usage = await publisher.call<Usage>("usage");
  await Bun.sleep(heartbeatMs / 4);
  const up = await followers.call<number>("now");
  at(followers.pid, "ip link set v0 up");
  await untilTrue(async () => (await followers.call<number>("lost")) === 0, "all to be back", 30_000);
  const back = await followers.call<number[]>("backSince", up);

  followers.signal("SIGSTOP");
  const stopped = performance.now();
  const silentMs = (await goneFrom(publisher)) - stopped;
  followers.signal("SIGCONT");
  await untilTrue(
    async () => (await followers.call<number>("connected")) === apart,
    "all to be back",
    30_000,
  );
  const version = await publisher.call<number>("commit");
  const { sha } = await publisher.call<{ sha: string }>("digest");
  await untilTrue(
    async () => `${await followers.call<string[]>("digests")}` === sha,
    `all followers to have version ${version}`,
  );
  return { detectMs, silentMs, back, usage };
}

async function untilTrue(condition: () => Promise<boolean>, what: string, limitMs = 10_000): Promise<number> {
  const end = performance.now() + limitMs;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`waited in vain for ${what}`);
    await Bun.sleep(10);
  }
  return performance.now();
}

function lostBy(followers: Actor): Promise<number> {
  return untilTrue(
    async () => (await followers.call<number>("lost")) === apart,
    "followers to notice",
    60_000,
  );
}

/** When the publisher has forgotten all its links. */
function goneFrom(publisher: Actor): Promise<number> {
  return untilTrue(
    async () => (await publisher.call<{ links: unknown[] }>("stats")).links.length === 0,
    "the publisher to notice",
    60_000,
  );
}

const unplugged: Fault = {
  id: "F34",
  name: "the cable pulled between two network namespaces; a stopped peer",
  seconds: 40,
  needs: ["networks"],
  async run(trial) {
    const heartbeatMs = trial.secondsLeft >= 30 ? 5000 : 300;
    const { detectMs, silentMs, back } = await cabled(trial, heartbeatMs);
    trial.injections += 2 * apart;
    const limitMs = 2.4 * heartbeatMs + (heartbeatMs < 5000 ? graceMs : 0);
    for (const [what, found] of [
      ["link down", detectMs],
      ["SIGSTOP", silentMs],
    ] as const)
      if (found > limitMs) trial.violate(`${what}: noticed after ${ms(found)}, not within ${ms(limitMs)}`);
    const text =
      `heartbeat ${ms(heartbeatMs)}: ${apart} of ${apart} links down noticed at both ends within ${ms(detectMs)}, ` +
      `${apart} of ${apart} stopped within ${ms(silentMs)}`;
    trial.measure("N1", text, trial.violationCount > 0 ? false : heartbeatMs >= 5000 ? true : null);
    return `${text}; back ${ms(quantile(back, 0.5))} after the cable (p50), max ${ms(Math.max(...back))}, at most ${windowShare(back)} % in 100 ms`;
  },
};

/** The largest share of them within any 100 ms, per cent. */
export function windowShare(moments: readonly number[]): number {
  const sorted = moments.toSorted((a, b) => a - b);
  let most = 0;
  for (let first = 0, last = 0; last < sorted.length; last++) {
    while (sorted[last]! - sorted[first]! >= 100) first++;
    most = Math.max(most, last - first + 1);
  }
  return Math.round((100 * most) / Math.max(1, sorted.length));
}

const starvedSecondsWanted = 20;
const busyLoops = 4;

const starved: Fault = {
  id: "F42",
  name: "one processor for both ends and four busy loops",
  seconds: starvedSecondsWanted + 2,
  needs: ["taskset"],
  async run(trial) {
    const heartbeatMs = trial.secondsLeft >= starvedSecondsWanted ? 2000 : 1500;
    const pinned = { under: ["taskset", "-c", "0"] };
    await using stage = await Stage.open({
      seed: trial.seed,
      lanes: 0,
      publisher: { heartbeatMs },
      actors: pinned,
    });
    const links = 10;
    for (let i = 0; i < links; i++)
      await stage.followers.call("follow", `f${i}`, { server: stage.address, heartbeatMs, ...eager });
    const loops = Array.from({ length: busyLoops }, () =>
      Bun.spawn(["taskset", "-c", "0", "sh", "-c", "while :; do :; done"]),
    );
    try {
      await stage.publisher.call("tick", 20);
      const seconds = Math.min(starvedSecondsWanted, Math.max((2 * heartbeatMs) / 1000, trial.secondsLeft));
      await Bun.sleep(1000 * seconds);
      await stage.publisher.call("tick", 0);
    } finally {
      for (const loop of loops) loop.kill("SIGKILL");
    }
    const ages = await settled(trial, stage, links);
    trial.injections += busyLoops;
    return (
      `${links} links, heartbeat ${ms(heartbeatMs)}, ${busyLoops} busy loops on their processor: false deaths ${trial.violationCount}; ` +
      `commit to follower p50 ${ms(quantile(ages, 0.5))}, p99 ${ms(quantile(ages, 0.99))}`
    );
  },
};

/** All followers have what the publisher has, and no link has ended. */
async function settled(trial: Trial, stage: Stage, links: number): Promise<number[]> {
  const version = await stage.publisher.call<number>("commit");
  const ages: number[] = [];
  for (let i = 0; i < links; i++) {
    await stage.followers.call("reaches", `f${i}`, version);
    const report = await stage.followers.call<Report>("report", `f${i}`);
    for (const wrong of await stage.judge(report)) trial.violate(wrong);
    for (const [what, times] of Object.entries(report.tally)) trial.violate(`f${i}: ${times} x ${what}`);
    ages.push(...report.ages);
  }
  return ages;
}

const blocksWanted = 2;

const blocked: Fault = {
  id: "F43",
  name: "a publisher, and then its followers, busy for three seconds",
  seconds: 14,
  async run(trial) {
    const full = trial.secondsLeft >= 10;
    const [heartbeatMs, blockMs] = full ? [5000, 3000] : [1000, 1200];
    await using stage = await Stage.open({ seed: trial.seed, lanes: 0, publisher: { heartbeatMs } });
    const links = 10;
    for (let i = 0; i < links; i++)
      await stage.followers.call("follow", `f${i}`, { server: stage.address, heartbeatMs, ...eager });
    let blocks = 0;
    for (; trial.more(blocks, blocksWanted); blocks++)
      for (const actor of [stage.publisher, stage.followers]) {
        await actor.call("block", blockMs);
        await Bun.sleep(heartbeatMs / 20);
      }
    await settled(trial, stage, links);
    trial.injections += 2 * blocks;
    return `${amount(blocks, blocksWanted)} x ${ms(blockMs)} at each end, heartbeat ${ms(heartbeatMs)}, ${links} links: false deaths ${trial.violationCount}`;
  },
};

export const silences: readonly Fault[] = [stall, unplugged, starved, blocked];
