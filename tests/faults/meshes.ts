/** F32 once more, in a mesh: every link of it through a proxy, and everybody writes. */
import { Actor } from "../chaos/actor.ts";
import { drawPlan, honest, type Kind } from "../chaos/plan.ts";
import { ChaosProxy } from "../chaos/proxy.ts";
import { count, ms, quantile, type Trial } from "./fault.ts";

const nodes = 3;
/** What is done to its links. */
const mischiefs: readonly Kind[] = ["frames", "flip", "cut", "delay", "slice", "stall", "hold"];
const roundMs = 500;
const agreeMs = 5000;

/** Rounds of mischief, each of which must end in one state. Returns what to say of it. */
export async function meshed(trial: Trial, roundsWanted: number): Promise<string> {
  const actors = Array.from({ length: nodes }, () => new Actor("mesh"));
  let isCalm = false;
  let links = 0;
  const plan = () => {
    if (isCalm) return honest;
    links++;
    return drawPlan(trial.random, mischiefs[trial.random.between(0, mischiefs.length - 1)]!);
  };
  // A node must know where those listen that start after it: the proxies are there first.
  const edges = actors
    .flatMap((_, from) => actors.map((_, to) => ({ from, to })))
    .filter(({ from, to }) => from !== to);
  const proxies = edges.map((_, i) => new ChaosProxy(null, plan, trial.seed + i));
  const times: number[] = [];
  try {
    for (const [i, actor] of actors.entries()) {
      const servers = proxies.filter((_, k) => edges[k]!.from === i).map(({ address }) => address);
      const options = { servers, heartbeatMs: 500, checkHash: i === 0, reconnect: { minMs: 5, maxMs: 50 } };
      const address = await actor.call<string>("open", `n${i}`, trial.seed + i, options);
      for (const [k, { to }] of edges.entries()) if (to === i) proxies[k]!.target = address;
    }
    isCalm = true;
    await Promise.all(actors.map((actor) => actor.call("ready")));
    let writes = 0;
    for (let rounds = 0; trial.more(rounds, roundsWanted); rounds++) {
      isCalm = false;
      for (const proxy of proxies) proxy.cutAll();
      for (const actor of actors) await actor.call("tick", 5);
      await Bun.sleep(roundMs);
      writes = 0;
      for (const actor of actors) writes += await actor.call<number>("tick", 0);
      isCalm = true;
      for (const proxy of proxies) proxy.cutAll();
      const took = await agreement(actors);
      if (took === null) trial.violate(`round ${rounds}: after ${ms(agreeMs)} of calm the nodes differ`);
      times.push(took ?? agreeMs);
    }
    trial.injections += links;
    return (
      `a mesh of ${nodes}: ${count(writes)} writes, ${count(links)} links with mischief, ${times.length} times calm: ` +
      `one state after p50 ${ms(quantile(times, 0.5))}, max ${ms(quantile(times, 1))}`
    );
  } finally {
    for (const proxy of proxies) proxy[Symbol.dispose]();
    await Promise.all(actors.map((actor) => actor.kill()));
  }
}

/** How long until all have the same values, stamps and metadata, ms; null: not in time. */
async function agreement(actors: readonly Actor[]): Promise<number | null> {
  const begun = performance.now();
  while (performance.now() < begun + agreeMs) {
    const states = await Promise.all(actors.map((actor) => actor.call<string>("state")));
    if (new Set(states).size === 1) return performance.now() - begun;
    await Bun.sleep(5);
  }
  return null;
}
