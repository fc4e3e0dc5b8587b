/** F44: all kinds of mischief for a long time, and what it leaves behind. */
import { drawPlan, honest, kinds } from "../chaos/plan.ts";
import { type Report, Stage, type Usage } from "../chaos/stage.ts";
import { count, type Fault, mib, type Trial } from "./fault.ts";

const soakSeconds = 60;
const cutMs = 100;
/** In less than that, what the allocator keeps one time and not another is more than any slope. */
const slopeSecondsMin = 3600;
const slopeMax = 2 ** 20;
/** What may be more at the end of a shorter run than after its first quarter. */
const growthMax = 16 * 2 ** 20;

interface Sample {
  readonly hours: number;
  readonly publisher: Usage;
  readonly followers: Usage;
}

const soak: Fault = {
  id: "F44",
  name: "mischief of all kinds on every link, for long",
  seconds: soakSeconds,
  isEndless: true,
  async run(trial) {
    const seconds = trial.secondsLeft;
    await using stage = await Stage.open({
      seed: trial.seed,
      cells: 4096,
      lanes: 8,
      publisher: { heartbeatMs: 1000 },
    });
    let faults = 0;
    for (const [i, lane] of stage.lanes.entries()) {
      lane.arm(() => {
        lane.proxy.forget(); // or its records would be what grows
        faults++;
        return drawPlan(trial.random, kinds[trial.random.between(0, kinds.length - 1)]!);
      });
      await stage.followers.call("follow", `f${i}`, {
        server: lane.address,
        heartbeatMs: 1000,
        checkHash: i % 2 === 0,
        mode: i % 4 < 2 ? "latest" : "every",
        reconnect: { minMs: 5, maxMs: 100 },
      });
    }
    await stage.publisher.call("tick", 5);
    const samples: Sample[] = [];
    const begun = performance.now();
    const left = () => begun + 1000 * Math.max(1, seconds) - performance.now();
    const sampleMs = 1000 * Math.max(0.25, seconds / 60);
    for (let sampledAt = -Infinity; left() > 0; await Bun.sleep(Math.min(cutMs, Math.max(1, left())))) {
      // An honest link does not end by itself: one in a while is broken, so that others may be drawn.
      stage.lanes[trial.random.between(0, stage.lanes.length - 1)]!.proxy.cutAll();
      if (performance.now() - sampledAt < sampleMs) continue;
      sampledAt = performance.now();
      samples.push(await sample(stage, begun));
      trial.say(`${told(samples.at(-1)!)}; ${count(faults)} links with mischief`);
    }
    await stage.publisher.call("tick", 0);
    for (const lane of stage.lanes) {
      lane.arm(() => honest);
      lane.proxy.cutAll();
    }
    const version = await stage.publisher.call<number>("commit");
    for (const i of stage.lanes.keys()) {
      await stage.followers.call("reaches", `f${i}`, version);
      for (const wrong of await stage.judge(await stage.followers.call<Report>("report", `f${i}`)))
        trial.violate(wrong);
    }
    samples.push(await sample(stage, begun));
    trial.injections += faults;
    return `${seconds.toFixed(0)} s, ${count(version)} commits, ${count(faults)} links with mischief: divergences ${trial.violationCount}; ${grown(trial, samples, seconds)}`;
  },
};

async function sample(stage: Stage, begun: number): Promise<Sample> {
  const hours = (performance.now() - begun) / 3_600_000;
  const publisher = await stage.publisher.call<Usage>("usage");
  return { hours, publisher, followers: await stage.followers.call<Usage>("usage") };
}

function told({ hours, publisher, followers }: Sample): string {
  const text = ({ rss, heap, descriptors }: Usage) =>
    `${mib(rss)} (heap ${mib(heap)}), ${descriptors} descriptors`;
  return `${(hours * 3600).toFixed(0)} s: publisher ${text(publisher)}, followers ${text(followers)}`;
}

/** Memory and descriptors of both processes: slopes where the time was long enough, else the differences. */
function grown(trial: Trial, samples: readonly Sample[], seconds: number): string {
  const ends = ["publisher", "followers"] as const;
  const late = samples.slice(Math.floor(samples.length / 4)); // the first quarter warms up
  const texts = ends.map((end) => {
    const first = late[0]![end];
    const last = late.at(-1)![end];
    if (last.descriptors > first.descriptors + 16)
      trial.violate(`the ${end} have ${last.descriptors} descriptors, and had ${first.descriptors}`);
    const descriptors = last.descriptors - first.descriptors;
    if (seconds < slopeSecondsMin) {
      const more = last.rss - first.rss;
      if (more > growthMax) trial.violate(`the ${end} took ${mib(more)} more memory`);
      return `${end} ${mib(more)} (heap ${mib(last.heap - first.heap)}) and ${descriptors} descriptors more`;
    }
    const perHour = (of: (usage: Usage) => number) => slope(late.map((each) => [each.hours, of(each[end])]));
    const [rss, heap] = [perHour((usage) => usage.rss), perHour((usage) => usage.heap)];
    if (Math.min(rss, heap) > slopeMax)
      trial.violate(`the memory of the ${end} grows by ${mib(rss)} an hour`);
    return `${end} ${mib(rss)}/h (heap ${mib(heap)}/h) and ${perHour((usage) => usage.descriptors).toFixed(1)} descriptors/h`;
  });
  return texts.join(", ");
}

/** Least squares. */
function slope(points: readonly (readonly [x: number, y: number])[]): number {
  const mean = (of: (point: readonly [number, number]) => number) =>
    points.reduce((sum, point) => sum + of(point), 0) / points.length;
  const [x, y] = [mean(([at]) => at), mean(([, value]) => value)];
  const across = mean(([at, value]) => (at - x) * (value - y));
  return across / (mean(([at]) => (at - x) ** 2) || 1);
}

export const longRuns: readonly Fault[] = [soak];
