/** F01, F02, F04, F11: killed at any time, at every step, in recovery, and with much memory. */
import { availableParallelism, freemem } from "node:os";
import { join } from "node:path";
import { build, isStale } from "../../ffi/build.ts";
import { attach } from "../../src/index.ts";
import { Segment } from "../../src/memory/segment.ts";
import { drive } from "./driver.ts";
import { amount, count, type Fault, ms, type Trial } from "./fault.ts";
import { bunChild, Companion, howItEnded, run } from "./programs.ts";
import { SumReader } from "./sums.ts";

const killsWanted = 10_000;
const bunKillsWanted = 300;

/** How long a process that waits for commits may be left waiting for the dead. */
const toldWithinMs = 10_000;

/** Whether a waiting process comes to know of `version`, which somebody made who then died without a word. */
async function isTold(heard: () => number, version: number): Promise<boolean> {
  const end = performance.now() + toldWithinMs;
  while (heard() < version && performance.now() < end) await Bun.sleep(0.5);
  return heard() >= version;
}

/** Kills Bun processes that write through `start()`; the next one takes over. Whoever waits for commits hears of the last one. */
async function killBunWriters(trial: Trial, wanted: number): Promise<number> {
  let kills = 0;
  await using stack = new AsyncDisposableStack();
  let reader: SumReader | null = null;
  let heard = 0;
  while (trial.more(kills, wanted)) {
    await using writer = new Companion(trial, bunChild("write_sums", "sums"));
    if ((await writer.hear()) !== "writes") {
      trial.violate(`a writer did not start: ${howItEnded(await writer.ended())}`);
      break;
    }
    if (!reader) {
      reader = stack.adopt(new SumReader(trial, "sums"), (opened) => opened.close());
      const listener = stack.use(await attach(trial.path("sums")));
      listener.onUpdate(({ version }) => (heard = version));
    }
    await Bun.sleep(trial.random.between(0, 2));
    await writer.kill();
    kills++;
    reader.look("beside the dead");
    if (!(await isTold(() => heard, reader.version)))
      trial.violate(`version ${reader.version} of a dead writer was never told; the last one was ${heard}`);
  }
  reader?.takeOver();
  return kills;
}

const randomKills: Fault = {
  id: "F01",
  name: "kill -9 of the writer at random times",
  seconds: 120,
  needs: ["compiler"],
  async run(trial) {
    const found = await trial.part(0.6, () => drive(trial, "kills", { amount: killsWanted }));
    const kills = found["kills"] ?? 0;
    const bunKills = await killBunWriters(trial, bunKillsWanted);
    trial.injections += kills + bunKills;
    return [
      `${amount(kills, killsWanted)} in C (${found["odd"]} in commit, ${found["dirty"]} in a transaction, ${found["idle"]} idle)`,
      `${amount(bunKills, bunKillsWanted)} of Bun`,
      `${count(found["versions"] ?? 0)} versions`,
      `recovered p50 ${ms(found["recovery_p50"])}, p99 ${ms(found["recovery_p99"])}`,
    ].join("; ");
  },
};

const crashLibrary = "libmemblast-crash.so";

/** Every crash point that a Bun process passes in a rollback, a commit and another. */
async function crashBunAtPoints(trial: Trial): Promise<number> {
  const library = isStale(crashLibrary)
    ? build({ crashPoints: true })
    : join(import.meta.dir, "../../ffi/build", crashLibrary);
  Segment.create(
    trial.path("points"),
    { schemaText: "{}", imageBytes: 4096, metaOffset: 0 },
    { persist: true },
  ).close();
  let covered = 0;
  for (let at = 1; trial.more(at - 1, 1000); at++) {
    const ended = await run(trial, bunChild("crash_at", trial.path("points"), at), {
      env: { MEMBLAST_LIBRARY: library },
    });
    if (ended.signal === "SIGKILL") covered++;
    else if (ended.status !== 0) trial.violate(`crash point ${at}: the writer ${howItEnded(ended)}`);
    using segment = Segment.attach(trial.path("points"), { mode: "rw" });
    const [working, committed] = (["working", "committed"] as const).map(
      (image) => new Uint8Array(segment.buffer(image, 0, segment.imageBytes)),
    );
    if (Buffer.compare(working!, committed!) !== 0) trial.violate(`crash point ${at}: the images differ`);
    if (committed!.some((byte) => byte !== committed![0]))
      trial.violate(`crash point ${at}: half of a transaction is there`);
    if (ended.status === 0) break;
  }
  return covered;
}

const everyPoint: Fault = {
  id: "F02",
  name: "kill -9 at every step, by number",
  seconds: 12,
  needs: ["compiler"],
  async run(trial) {
    const found = await trial.part(0.6, () => drive(trial, "points"));
    const inBun = process.env["MEMBLAST_FFI"] === "tcc" ? 0 : await crashBunAtPoints(trial);
    const crashes = found["crashes"] ?? 0;
    trial.injections += crashes + inBun;
    const all = found["complete"] === found["kinds"];
    return (
      `${count(crashes)} points in C over ${found["kinds"]} kinds of change, ${inBun} in Bun; ` +
      `${all ? "100 % covered" : `${found["complete"]} kinds covered to the last point`}`
    );
  },
};

const nested: Fault = {
  id: "F04",
  name: "crash in recovery, three times over",
  seconds: 10,
  needs: ["compiler"],
  async run(trial) {
    const found = await drive(trial, "nested");
    trial.injections += found["crashes"] ?? 0;
    const all = found["finished"] ? "all chains" : "time for";
    return `${all}: ${count(found["chains"] ?? 0)} chains of crashes, ${count(found["deepest"] ?? 0)} of them 3 deep in recovery`;
  },
};

const heavy: Fault = {
  id: "F11",
  name: "kill -9 of a holder with much memory",
  seconds: 8,
  needs: ["compiler"],
  async run(trial) {
    const texts: string[] = [];
    for (const mebibytes of [64, 512, 1024, 4096]) {
      const isLong = texts.length > 0 && trial.secondsLeft < mebibytes / 512;
      if (isLong || freemem() < 3 * mebibytes * 2 ** 20) break;
      const found = await drive(trial, "heavy", { args: [mebibytes] });
      trial.injections++;
      texts.push(`${mebibytes} MiB ${ms(found["freed_ms"])}`);
    }
    return `lock free after: ${texts.join(", ")} (${availableParallelism()} cores)`;
  },
};

export const kills: readonly Fault[] = [randomKills, everyPoint, nested, heavy];
