/** F40, F41: a server that is not the one it was, and a clock that jumps. */
import { copyFileSync, rmSync, writeFileSync } from "node:fs";
import { findCompiler } from "../../ffi/build.ts";
import { Actor } from "../chaos/actor.ts";
import { honest } from "../chaos/plan.ts";
import { eager, Lane, type Report, Stage } from "../chaos/stage.ts";
import { amount, count, type Fault, ms, quantile, type Trial } from "./fault.ts";

const restartsWanted = 500;
const ways = ["kept", "recreated", "restored"] as const;
const name = "ledger";

interface Opened {
  readonly addresses: readonly string[];
  readonly incarnation: string;
  readonly version: number;
}

const restarts: Fault = {
  id: "F40",
  name: "kill -9 and restart: with its file, with a new one, with an old copy",
  seconds: 75,
  async run(trial) {
    const env = { MEMBLAST_DIR: trial.folder };
    const files = [name, `${name}.lock`];
    const spawn = () => new Actor("publisher", { env });
    let [serving, next] = [spawn(), spawn()];
    await using followers = new Actor("followers");
    const open = (actor: Actor, port: string, round: number) =>
      actor.call<Opened>(
        "open",
        { name, share: true, listen: `127.0.0.1:${port}` },
        { salt: trial.seed + round, cells: 64 },
      );
    let { addresses, incarnation } = await open(serving, "0", 0);
    const port = addresses[0]!.split(":")[1]!;
    using lane = new Lane(addresses[0]!, trial.seed);
    const resumes: number[] = [];
    const tally = { kept: 0, recreated: 0, restored: 0 };
    /** Followers that had a version which the restored server then wrote anew, and were not told. */
    const deceived = { plain: 0, verifying: 0 };
    let rounds = 0;
    const follow = (who: string, checkHash: boolean) =>
      followers.call("follow", who, { server: lane.address, checkHash, ...eager }, false);
    try {
      await follow("plain", false);
      await follow("verifying", true);
      for (; trial.more(rounds, restartsWanted) || rounds < ways.length; rounds++) {
        const way = ways[rounds % ways.length]!;
        await serving.call("commit", trial.random.between(1, 20));
        if (way === "restored")
          for (const file of files) copyFileSync(trial.path(file), trial.path(`${file}.copy`));
        const had = await serving.call<number>("commit", trial.random.between(1, 20));
        for (const who of ["plain", "verifying"])
          if (!(await agrees(serving, followers, who)))
            trial.violate(`${who}, before it is ${way}: not in step`);
        // Nobody gets in until the server has gone past what the follower has: its version number alone would deceive.
        lane.arm(() => ({ ...honest, toPublisher: { cutAfter: 0 } }));
        lane.proxy.cutAll();
        await serving.kill();
        if (way === "recreated") for (const file of files) rmSync(trial.path(file));
        if (way === "restored")
          for (const file of files) copyFileSync(trial.path(`${file}.copy`), trial.path(file));
        serving = next;
        next = spawn();
        const reopened = await open(serving, port, rounds + 1);
        if (way === "recreated" && reopened.incarnation === incarnation)
          trial.violate("a new file has the old incarnation");
        if (way === "restored" && reopened.incarnation === incarnation)
          trial.violate("an old copy has the incarnation of what came after it");
        if (way === "kept" && reopened.incarnation !== incarnation)
          trial.violate("its own file became another incarnation");
        if (way === "kept" && reopened.version !== had)
          trial.violate(`version ${had} became ${reopened.version}`);
        ({ incarnation } = reopened);
        await serving.call("commit", Math.max(1, had - reopened.version + trial.random.between(0, 3)));
        lane.arm(() => honest);
        const begun = performance.now();
        const what = `${way}, from version ${had} to ${reopened.version} and on: diverged`;
        for (const who of ["verifying", "plain"]) {
          if (await agrees(serving, followers, who)) continue;
          trial.violate(`${who}, ${what}`);
          deceived[who as keyof typeof deceived]++;
          // Where not even a delta was due, the next one shows a verifying follower the difference.
          if (who === "verifying") {
            await serving.call("commit");
            if (!(await agrees(serving, followers, who))) trial.violate(`${who}, ${what} for good`);
          } else {
            await followers.call("close", who);
            await follow(who, false);
          }
        }
        resumes.push(performance.now() - begun);
        tally[way]++;
      }
    } finally {
      await Promise.all([serving.kill(), next.kill()]);
      for (const file of files)
        for (const path of [file, `${file}.copy`]) rmSync(trial.path(path), { force: true });
    }
    trial.injections += rounds;
    const text =
      `${amount(rounds, restartsWanted)} restarts (${ways.map((way) => `${way} ${tally[way]}`).join(", ")}): ` +
      `diverged ${trial.violationCount}; after a restored copy ${deceived.plain} without and ${deceived.verifying} with checkHash; ` +
      `in step again p50 ${ms(quantile(resumes, 0.5))}, max ${ms(quantile(resumes, 1))}`;
    const isAll = rounds >= restartsWanted ? true : null;
    trial.measure("N7", text, trial.violationCount + deceived.plain + deceived.verifying > 0 ? false : isAll);
    return text;
  },
};

/** Whether the follower has the server's bytes, or will have them soon. */
async function agrees(serving: Actor, followers: Actor, who: string): Promise<boolean> {
  const wanted = await serving.call<{ sha: string }>("digest");
  const end = performance.now() + 5000;
  for (;;) {
    const report = await followers.call<Report>("report", who);
    if (report.sha === wanted.sha) return true;
    // It says that it has the newest version, and nothing is under way.
    const settled = report.source === (await serving.call<{ version: number }>("stats")).version;
    if (performance.now() > end || (settled && performance.now() > end - 4700)) return false;
    await Bun.sleep(2);
  }
}

const shim = `
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static volatile int64_t *offset;
__attribute__((constructor)) static void begin(void) {
  int fd = open(getenv("CLOCK_FILE"), O_RDONLY | O_CLOEXEC);
  void *map = mmap(0, 8, PROT_READ, MAP_SHARED, fd, 0);
  if (map != MAP_FAILED) offset = map;
  close(fd);
}
int clock_gettime(clockid_t id, struct timespec *now) {
  int result = (int)syscall(SYS_clock_gettime, id, now);
  if (result == 0 && offset && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) now->tv_sec += *offset;
  return result;
}
int gettimeofday(struct timeval *now, void *zone) {
  (void)zone;
  struct timespec time;
  clock_gettime(CLOCK_REALTIME, &time);
  now->tv_sec = time.tv_sec;
  now->tv_usec = time.tv_nsec / 1000;
  return 0;
}
time_t time(time_t *into) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (into) *into = now.tv_sec;
  return now.tv_sec;
}
`;

/** A library that puts the seconds in a file on top of the system's time, for the processes that load it. */
function compileShim(trial: Trial): {
  env: Record<string, string>;
  jump(seconds: number): void;
  remove(): void;
} {
  const [source, library, file] = [trial.path("clock.c"), trial.path("clock.so"), trial.path("clock")];
  writeFileSync(source, shim);
  const jump = (seconds: number) => writeFileSync(file, new BigInt64Array([BigInt(seconds)]), { flag: "r+" });
  writeFileSync(file, new BigInt64Array(1));
  const command = [findCompiler()!, "-shared", "-fPIC", "-O1", "-o", library, source];
  const { success, stderr } = Bun.spawnSync(command, { stderr: "pipe" });
  if (!success) throw new Error(stderr.toString());
  return {
    env: { LD_PRELOAD: library, CLOCK_FILE: file },
    jump,
    remove: () => [source, library, file].forEach((path) => rmSync(path)),
  };
}

const jumpsWanted = 200;
const day = 86_400;

const jumps: Fault = {
  id: "F41",
  name: "the system's clock jumps by seconds to years under both ends",
  seconds: 12,
  needs: ["compiler"],
  async run(trial) {
    const clock = compileShim(trial);
    try {
      await using stage = await Stage.open({
        seed: trial.seed,
        lanes: 0,
        publisher: { heartbeatMs: 250 },
        actors: { env: clock.env },
      });
      const links = 4;
      for (let i = 0; i < links; i++)
        await stage.followers.call("follow", `f${i}`, { server: stage.address, heartbeatMs: 250, ...eager });
      await stage.publisher.call("tick", 5);
      const before = await stage.publisher.call<number>("date");
      clock.jump(-10 * day);
      const moved = before - (await stage.publisher.call<number>("date"));
      if (moved < 9 * day * 1000) trial.violate("the clock of the process did not move");
      let done = 0;
      for (; trial.more(done, jumpsWanted); done++) {
        const far = [1, 60, day, 3650 * day][trial.random.between(0, 3)]!;
        clock.jump(trial.random.between(0, 1) ? far : -far);
        await Bun.sleep(trial.random.between(5, 60));
      }
      await stage.publisher.call("tick", 0);
      const version = await stage.publisher.call<number>("commit");
      for (let i = 0; i < links; i++) {
        await stage.followers.call("reaches", `f${i}`, version);
        const report = await stage.followers.call<Report>("report", `f${i}`);
        for (const wrong of await stage.judge(report)) trial.violate(wrong);
        for (const what of Object.keys(report.tally)) trial.violate(`f${i}: ${what}`);
      }
      trial.injections += done;
      return `${amount(done, jumpsWanted)} jumps of 1 s to 10 years under ${count(version)} commits and heartbeats of 250 ms: links lost or different ${trial.violationCount}`;
    } finally {
      clock.remove();
    }
  },
};

export const changes: readonly Fault[] = [restarts, jumps];
