/** F05, F06, F07: processes that stand still, and a writer that never does. */
import { MemblastError } from "../../src/errors.ts";
import { Segment } from "../../src/memory/segment.ts";
import { drive } from "./driver.ts";
import { amount, count, type Fault, ms, type Trial } from "./fault.ts";
import { bunChild, Companion } from "./programs.ts";
import { SumReader } from "./sums.ts";

const stopsWanted = 200;
/** A reader that takes longer than this for 64 KiB waits for somebody. */
const blockedMs = 5000;

/** Stops a Bun process that saturates the segment. Readers go on; whoever wants to write is told at once who holds the lock. */
async function stopBunWriter(trial: Trial, wanted: number): Promise<{ stops: number; worst: number }> {
  await using writer = new Companion(trial, bunChild("write_sums", "sums"));
  await writer.hear();
  const reader = new SumReader(trial, "sums");
  let stops = 0;
  let worst = 0;
  for (; trial.more(stops, wanted); stops++) {
    await Bun.sleep(trial.random.between(0, 5));
    writer.signal("SIGSTOP");
    for (let i = 0; i < 5; i++) worst = Math.max(worst, reader.look("beside a stopped writer"));
    try {
      Segment.attach(trial.path("sums"), { mode: "rw" }).close();
      trial.violate("a second writer came in beside a stopped one");
    } catch (error) {
      if (!(error instanceof MemblastError) || error.code !== "LOCKED")
        trial.violate(`a second writer got ${error}`);
    }
    writer.signal("SIGCONT");
  }
  await writer.kill();
  reader.takeOver();
  reader.close();
  if (worst > blockedMs) trial.violate(`a reader was blocked for ${ms(worst)}`);
  return { stops, worst };
}

const stoppedWriter: Fault = {
  id: "F05",
  name: "SIGSTOP of a saturating writer",
  seconds: 5,
  needs: ["compiler"],
  async run(trial) {
    const found = await trial.part(0.6, () => drive(trial, "writer-stops", { amount: stopsWanted }));
    const bun = await stopBunWriter(trial, 50);
    trial.injections += (found["stops"] ?? 0) + bun.stops;
    return (
      `${amount(found["stops"] ?? 0, stopsWanted)} in C (${found["odd"]} in commit, ${found["dirty"]} in a transaction), ${bun.stops} of Bun; ` +
      `blocked readers ${found["blocked"]}; snapshot beside it p99 ${ms(found["snapshot_p99"])}, max ${ms(found["snapshot_max"])}`
    );
  },
};

const stoppedReader: Fault = {
  id: "F06",
  name: "SIGSTOP of a reader in mid-copy",
  seconds: 2,
  needs: ["compiler"],
  async run(trial) {
    const found = await drive(trial, "reader-stops", { amount: stopsWanted });
    trial.injections += found["stops"] ?? 0;
    return `${amount(found["stops"] ?? 0, stopsWanted)} stops, ${count(found["snapshots"] ?? 0)} snapshots of 4 MiB, torn ${trial.violationCount}`;
  },
};

/** [KiB of the image, readers] */
const loads = [
  [64, 1],
  [64, 4],
  [64, 16],
  [1024, 4],
  [16_384, 4],
  [1024, 16],
  [65_536, 4],
] as const;

const saturated: Fault = {
  id: "F07",
  name: "a writer that never pauses, and 1 to 16 readers",
  seconds: 8,
  needs: ["compiler"],
  async run(trial) {
    const texts: string[] = [];
    for (const [kibibytes, readers] of loads) {
      if (!trial.more(texts.length, loads.length)) break;
      const windowMs = Math.round(Math.max(100, Math.min(500, (trial.secondsLeft * 1000) / loads.length)));
      const found = await drive(trial, "saturated", { amount: windowMs, args: [kibibytes * 16, readers] });
      trial.injections++;
      const size = kibibytes < 1024 ? `${kibibytes} KiB` : `${kibibytes / 1024} MiB`;
      texts.push(
        `${size} x${readers} ${count(found["snapshots_per_second"] ?? 0)}/s (gap ${ms(found["gap_ms"])})`,
      );
    }
    return texts.join(", ");
  },
};

export const stops: readonly Fault[] = [stoppedWriter, stoppedReader, saturated];
