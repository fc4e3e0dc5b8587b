/** N6, N8, N13, N17, N20, N23, N29: hazards that are no fault of the network, measured on their own. */
import { existsSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { Actor } from "../chaos/actor.ts";
import { honest } from "../chaos/plan.ts";
import { ChaosProxy } from "../chaos/proxy.ts";
import { eager, Lane, type Report, Stage } from "../chaos/stage.ts";
import { checkRuns } from "../../src/delta/runs.ts";
import { Secret } from "../../src/node/options/secrets.ts";
import { amount, count, type Fault, mib, ms, quantile, type Trial } from "./fault.ts";
import { Stranger, within } from "./strangers.ts";
import { areRuns, edges, limits } from "../delta/edges.ts";

const rangesWanted = 1_000_000;
const ranges: Fault = {
  id: "N06",
  name: "ranges at the edges of numbers",
  seconds: 4,
  async run(trial) {
    const { random } = trial;
    const number = () =>
      random.between(0, 1) ? edges[random.between(0, edges.length - 1)]! : random.between(0, 100);
    let done = 0;
    for (; done % 1000 !== 0 || trial.more(done, rangesWanted); done++) {
      const pairs = Array.from({ length: 2 * random.between(0, 3) }, number);
      const limit = limits[random.between(0, limits.length - 1)]!;
      if ((checkRuns(pairs, limit) === null) !== areRuns(pairs, limit)) trial.violate(`${pairs} in ${limit}`);
    }
    trial.injections += done;
    const text = `${amount(done, rangesWanted)} cases, disagreements ${trial.violationCount}`;
    trial.measure("N6", text, trial.violationCount > 0 ? false : done >= rangesWanted ? true : null);
    return text;
  },
};

const replaysWanted = 1000;
const replaysAtOnce = 100;

/** A follower's side of a handshake, as a listener on the wire would have it. */
async function record(server: string, options: object, followers: Actor): Promise<Uint8Array> {
  const heard: Uint8Array[] = [];
  using relay = new ChaosProxy(server, () => honest, 1);
  relay.onBytes = (toPublisher, bytes) => void (toPublisher && heard.push(bytes));
  await followers.call("follow", "honest", { server: relay.address, ...options, ...eager });
  await followers.call("close", "honest");
  return Buffer.concat(heard);
}

const replays: Fault = {
  id: "N08",
  name: "a recorded proof, replayed",
  seconds: 4,
  async run(trial) {
    await using publisher = new Actor("publisher");
    await using followers = new Actor("followers");
    const secret = "correct horse battery staple";
    const opened = await publisher.call<{ addresses: string[] }>(
      "open",
      { secrets: { desk: { secret } } },
      { salt: trial.seed, cells: 64 },
    );
    const server = opened.addresses[0]!;
    await publisher.call("commit");
    const recorded = await record(server, { secret: { keyId: "desk", secret } }, followers);
    const port = Number(server.split(":")[1]);
    let replayed = 0;
    let accepted = 0;
    const replay = async () => {
      using stranger = await Stranger.open(port, { first: recorded });
      replayed++;
      if (!(await within(stranger.ended.promise, 3000))) trial.violate("a replay was left standing");
      const said = new TextDecoder("latin1").decode(stranger.heard);
      if (said.includes("incarnation")) accepted++;
      else if (!said.includes("AUTH"))
        trial.violate(`the answer to a replay is ${JSON.stringify(said.slice(-80))}`);
    };
    // after ten wrong proofs each has to wait for up to a second and a half
    while (trial.more(replayed, replaysWanted))
      await Promise.all(Array.from({ length: replaysAtOnce }, replay));
    if (accepted > 0) trial.violate(`${accepted} replays were accepted`);
    const { door } = await publisher.call<{ door: { failedProofs: number; held: number } }>("stats");
    trial.injections += replayed;
    const text = `${amount(replayed, replaysWanted)} replays, accepted ${accepted} (${door.failedProofs} proofs wrong, ${door.held} heard late after the first ten)`;
    trial.measure("N8", text, trial.violationCount > 0 ? false : replayed >= replaysWanted ? true : null);
    return text;
  },
};

const latencySeconds = 6;

const latency: Fault = {
  id: "N13",
  name: "one block, one follower, loopback",
  seconds: latencySeconds,
  async run(trial) {
    await using stage = await Stage.open({ seed: trial.seed, lanes: 0, hashes: false });
    await stage.followers.call("follow", "f", { server: stage.address, ...eager });
    await stage.publisher.call("tick", 2);
    await Bun.sleep(200);
    await stage.followers.call("takeAges", "f");
    await Bun.sleep(1000 * Math.min(latencySeconds / 2, Math.max(0.4, trial.secondsLeft / 2)));
    const ages = await stage.followers.call<number[]>("takeAges", "f");
    const writes = Bun.which("strace") ? await writesPerCommit(trial, stage) : null;
    trial.injections += ages.length;
    const [p50, p99] = [quantile(ages, 0.5), quantile(ages, 0.99)];
    const slow = ages.filter((age) => age >= 35 && age <= 50).length;
    const text =
      `${count(ages.length)} commits: p50 ${ms(p50)}, p99 ${ms(p99)}, ${slow} around 40 ms; ` +
      (writes === null ? "writes not counted (no strace)" : `${writes.toFixed(2)} writes per commit`);
    trial.measure(
      "N13",
      text,
      p50 <= 0.3 && p99 <= 2 && slow === 0 && (writes === null ? null : writes <= 1.1),
    );
    return text;
  },
};

/** System calls that send, per commit, while nothing else is going on; null where no process may be traced. */
async function writesPerCommit(trial: Trial, stage: Stage): Promise<number | null> {
  const log = trial.path("sends.log");
  const { publisher } = stage;
  const before = await publisher.call<number>("tick", 0);
  const tracer = Bun.spawn(
    ["strace", "-f", "-q", "-e", "trace=sendto,sendmsg,writev", "-o", log, "-p", `${publisher.pid}`],
    { stdout: "ignore", stderr: "ignore" },
  );
  await Bun.sleep(300);
  await publisher.call("tick", 2);
  await Bun.sleep(600);
  const after = await publisher.call<number>("tick", 0);
  await Bun.sleep(100);
  tracer.kill("SIGINT");
  await tracer.exited;
  const lines = existsSync(log) ? readFileSync(log, "utf8").split("\n") : [];
  rmSync(log, { force: true });
  const sends = lines.filter((line) => /^\d+ +(sendto|sendmsg|writev)\(/.test(line)).length;
  return sends === 0 ? null : sends / (after - before);
}

/** 10 Mbit/s. */
const bytesPerSecond = 1_250_000;
const slowBytesWanted = 2 ** 30;

const slowLine: Fault = {
  id: "N17",
  name: "a large first state over 10 Mbit/s",
  seconds: 30,
  isEndless: true,
  async run(trial) {
    const seconds = Math.max(2, trial.secondsLeft * 0.8);
    const bytes = Math.min(slowBytesWanted, seconds * bytesPerSecond);
    const heartbeatMs = Math.round(Math.max(250, Math.min(5000, 100 * seconds)));
    await using stage = await Stage.open({
      seed: trial.seed,
      cells: Math.floor(bytes / 8),
      stride: 1,
      lanes: 0,
      hashes: false,
      publisher: { heartbeatMs },
    });
    const version = await stage.publisher.call<number>("commit");
    using lane = new Lane(stage.address, trial.seed);
    lane.arm(() => ({ ...honest, toFollower: { bytesPerSecond } }));
    const begun = performance.now();
    const options = { server: lane.address, heartbeatMs, ...eager };
    // Not judged cell by cell, nor before the end: looking at a GiB keeps a follower from answering for seconds.
    await stage.followers.callFor(2000 * seconds + 60_000, "crowd", 1, options);
    const tookMs = performance.now() - begun;
    const links = lane.links.length;
    const report = await stage.followers.call<Report>("report", "f0");
    const { sha } = await stage.publisher.call<{ sha: string }>("digest");
    if (report.source !== version || report.sha !== sha) trial.violate("the follower has other bytes");
    for (const wrong of report.wrong) trial.violate(wrong);
    for (const what of Object.keys(report.tally)) trial.violate(what);
    if (links > 1) trial.violate(`it took ${links} links`);
    trial.injections += 1;
    const text = `${mib(bytes)} in ${ms(tookMs)} with a heartbeat of ${ms(heartbeatMs)}: missed ${trial.violationCount}`;
    trial.measure("N17", text, trial.violationCount > 0 ? false : bytes >= slowBytesWanted ? true : null);
    return text;
  },
};

const timingsWanted = 100_000;
const tMax = 4.5;

/** Welch's t between two sets of times, without the slowest tenth of both, which the system made slow. */
function welch(a: readonly number[], b: readonly number[]): number {
  const limit = quantile([...a, ...b], 0.9);
  const [x, y] = [a, b].map((values) => {
    const kept = values.filter((value) => value <= limit);
    const mean = kept.reduce((sum, value) => sum + value, 0) / kept.length;
    return {
      n: kept.length,
      mean,
      variance: kept.reduce((sum, value) => sum + (value - mean) ** 2, 0) / kept.length,
    };
  }) as [{ n: number; mean: number; variance: number }, { n: number; mean: number; variance: number }];
  return (x.mean - y.mean) / Math.sqrt(x.variance / x.n + y.variance / y.n);
}

const timing: Fault = {
  id: "N20",
  name: "how long a wrong proof takes, by how much of it is right",
  seconds: 4,
  async run(trial) {
    const secret = new Secret("correct horse battery staple");
    const transcript = trial.random.bytes(200);
    const right = secret.sign(transcript);
    const nearly = Uint8Array.from(right);
    nearly[31]! ^= 1;
    const wrong = Uint8Array.from(right, (byte) => byte ^ 0xff);
    const times: [number[], number[]] = [[], []];
    let done = 0;
    for (; done % 1000 !== 0 || trial.more(done, timingsWanted); done++) {
      const which = trial.random.between(0, 1);
      const proof = which === 0 ? nearly : wrong;
      const begun = Bun.nanoseconds();
      const accepted = secret.proves(transcript, proof);
      times[which]!.push(Bun.nanoseconds() - begun);
      if (accepted) trial.violate("a wrong proof was accepted");
    }
    const t = welch(...times);
    trial.injections += done;
    const text = `${amount(done, timingsWanted)} proofs, 31 of 32 bytes right against none: t = ${t.toFixed(1)}`;
    trial.measure("N20", text, done >= timingsWanted ? Math.abs(t) < tMax : null);
    return text;
  },
};

/** Addresses, as the kernel writes them, on which a process listens. */
function listeningOf(pid: number): string[] {
  const own = new Set(
    readdirSync(`/proc/${pid}/fd`).map((fd) => {
      try {
        return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1];
      } catch {
        return undefined; // closed meanwhile
      }
    }),
  );
  return ["tcp", "tcp6"].flatMap((kind) =>
    readFileSync(`/proc/${pid}/net/${kind}`, "utf8")
      .split("\n")
      .slice(1)
      .map((line) => line.trim().split(/\s+/))
      .filter((fields) => fields[3] === "0A" && own.has(fields[9]))
      .map((fields) => fields[1]!.split(":")[0]!),
  );
}

const exposure: Fault = {
  id: "N23",
  name: "what a default start shows to the network",
  seconds: 1,
  async run(trial) {
    await using publisher = new Actor("publisher");
    const picture = { salt: 1, cells: 64 };
    for (const listen of ["0.0.0.0:0", "[::]:0", "ws://0.0.0.0:0"]) {
      const refused = await publisher.call("open", { listen }, picture).then(
        () => "nothing",
        (error: Error) => error.message,
      );
      if (!refused.includes("INVALID_OPTION"))
        trial.violate(`listening on ${listen} without secrets: ${refused}`);
    }
    await publisher.call("open", { listen: [0, "ws://localhost:0"] }, picture);
    const addresses = listeningOf(publisher.pid);
    const foreign = addresses.filter((address) => address !== "0100007F" && !/^0{24}01000000$/.test(address));
    if (addresses.length < 2 || foreign.length > 0) trial.violate(`it listens on ${addresses}`);
    trial.injections += 4;
    const text = `a default start listens on this machine only (${addresses.length} sockets), 3 of 3 open doors without secrets refused`;
    trial.measure("N23", text, trial.violationCount === 0);
    return text;
  },
};

const rollsWanted = 20;
const rolling = 50;

const rolls: Fault = {
  id: "N29",
  name: "a server that is replaced in good order, again and again",
  seconds: 12,
  async run(trial) {
    const env = { MEMBLAST_DIR: trial.folder };
    const spawn = () => new Actor("publisher", { env });
    const open = (actor: Actor, port: string) =>
      actor.call<{ addresses: string[] }>(
        "open",
        { name: "rolling", share: true, persist: true, listen: `127.0.0.1:${port}` },
        { salt: trial.seed, cells: 64 },
      );
    let [serving, next] = [spawn(), spawn()];
    const drains: number[] = [];
    let rounds = 0;
    await using followers = new Actor("followers");
    try {
      const { addresses } = await open(serving, "0");
      const follow = { server: addresses[0], reconnect: { minMs: 50, maxMs: 500 } };
      for (let i = 0; i < rolling; i++) await followers.call("follow", `f${i}`, follow);
      for (; trial.more(rounds, rollsWanted); rounds++) {
        await serving.call("commit", 5);
        const begun = performance.now();
        await serving.call("close", { retryAfterMs: 100 });
        drains.push(performance.now() - begun);
        await serving.end();
        serving = next;
        next = spawn();
        await open(serving, addresses[0]!.split(":")[1]!);
        const version = await serving.call<number>("commit");
        for (let i = 0; i < rolling; i++) await followers.call("reaches", `f${i}`, version);
      }
      let errors = 0;
      for (let i = 0; i < rolling; i++) {
        const report = await followers.call<Report>("report", `f${i}`);
        for (const wrong of report.wrong) trial.violate(wrong);
        if (report.fullDeltas > 1) trial.violate(`f${i} got everything ${report.fullDeltas} times`);
        for (const [what, times] of Object.entries(report.tally))
          if (!what.includes("goodbye")) errors += times;
      }
      trial.injections += rounds * rolling;
      const text =
        `${amount(rounds, rollsWanted)} replacements by close() under ${rolling} clients: drained in ${ms(quantile(drains, 1))} at most, ` +
        `each resumed, errors that they saw ${errors}`;
      const met = errors === 0 && quantile(drains, 1) <= 10_000;
      trial.measure("N29", text, trial.violationCount > 0 ? false : met);
      return text;
    } finally {
      await Promise.all([serving.call("close").catch(() => {}), next.kill()]);
      await serving.kill();
    }
  },
};

export const probes: readonly Fault[] = [ranges, replays, latency, slowLine, timing, exposure, rolls];
