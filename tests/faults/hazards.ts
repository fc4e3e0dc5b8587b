import type { Measure } from "./fault.ts";

/** One network hazard: what is accepted, and where else it is looked at. */
export interface Hazard {
  readonly id: string;
  readonly name: string;
  readonly accepted: string;
  /** The row of the catalogue that measures it. */
  readonly row?: string;
  /** Tests and commands besides the rows of the catalogue. */
  readonly tests?: string;
  /** Why nothing is measured. */
  readonly unmeasured?: string;
}

/** N1 to N29, with what is accepted of each. */
export const hazards: readonly Hazard[] = [
  {
    id: "N1",
    row: "F34",
    name: "half-open peers",
    accepted: "closed and reported <= 12 s in 100 of 100 (SIGSTOP, link down)",
    tests: "tests/protocol/heartbeat.test.ts",
  },
  {
    id: "N2",
    row: "F38",
    name: "slow handshakes",
    accepted: "1,000 silent or trickling: all closed <= 3 s; an honest client's first state p99 <= 200 ms",
    tests: "tests/node/door.test.ts",
  },
  {
    id: "N3",
    row: "F39",
    name: "lengths that lie",
    accepted: "every length to 2^63: a clean close with a code; 0 crashes in 10^7 fuzzed frames",
    tests: "FUZZ_FRAMES=10000000 bun test tests/protocol/fuzz.test.ts",
  },
  {
    id: "N4",
    row: "F39",
    name: "memory by announced length",
    accepted: "1,000 links announce the most and send a byte: <= 64 MiB",
    tests: "tests/protocol/framer.test.ts",
  },
  {
    id: "N5",
    row: "F39",
    name: "decompression bombs",
    accepted: "1000:1 and 30,000:1 refused, memory <= 2 frames; no decompressor on peer data",
    tests: "tests/tidy.test.ts",
  },
  {
    id: "N6",
    row: "N06",
    name: "overflow in ranges",
    accepted: "10^6 cases against whole numbers of any size: 0 disagreements",
    tests: "tests/delta/runs.test.ts",
  },
  {
    id: "N7",
    row: "F40",
    name: "a stale epoch after a restart",
    accepted: "500 restarts: 0 clients that differ after they are in step; a wrong incarnation resyncs",
    tests: "bun run sim",
  },
  {
    id: "N8",
    row: "N08",
    name: "replayed proofs",
    accepted: "a recorded proof replayed 1,000 times: 0 accepted",
    tests: "tests/protocol/handshake.test.ts",
  },
  {
    id: "N9",
    name: "duplicate names",
    accepted: "a second node of the name refused <= 1 s by name, the first undisturbed",
    tests: "tests/node/door.test.ts (uniqueNames)",
  },
  {
    id: "N10",
    name: "loops in the mesh",
    accepted:
      "five nodes, full mesh and ring: each commit applied once by each, frames per commit <= edges, then quiet",
    tests: "tests/node/mesh.test.ts; bun run sim",
  },
  {
    id: "N11",
    name: "two writers of one element",
    accepted: "100 partitions healed: one state <= 5 s, by a rule that is written down",
    tests: "tests/node/mesh.test.ts; bun run sim",
  },
  {
    id: "N12",
    row: "F36",
    name: "a thundering herd",
    accepted:
      "1,000 clients after kill -9: <= 10 % in any 100 ms, live <= 30 s, memory <= 2x, <= 4 encodings",
  },
  {
    id: "N13",
    row: "N13",
    name: "Nagle, delayed acknowledgements",
    accepted:
      "64 bytes on loopback: p50 <= 0.3 ms, p99 <= 2 ms, none at 40 ms; <= 1.1 writes per commit and client",
    tests: "bun run bench (latency)",
  },
  {
    id: "N14",
    row: "F30",
    name: "partial writes",
    accepted: "1 GiB through a proxy of 1 to 7 bytes with stalls: SHA-256 equal, memory within the window",
    tests: "tests/transport/contract.ts",
  },
  {
    id: "N15",
    row: "F33",
    name: "WebSocket sends that are dropped",
    accepted:
      "60 s stalled under a saturating writer: memory within the limit, then equal after 1 conflated delta",
    tests: "tests/node/websocket.test.ts",
  },
  {
    id: "N16",
    name: "order across conflation",
    accepted: "10^5 schedules: every state a committed one, versions never back",
    tests: "SESSION_RUNS=100000 bun test tests/protocol/session.test.ts; bun run sim",
  },
  {
    id: "N17",
    row: "N17",
    name: "a large state before the heartbeat",
    accepted: "1 GiB at 10 Mbit/s: 0 heartbeats missed",
  },
  {
    id: "N18",
    row: "F33",
    name: "memory for slow clients",
    accepted: "100 stalled: memory <= 100 x the limit, others' p99 changes <= 20 %",
    tests: "tests/node/replication.test.ts",
  },
  {
    id: "N19",
    name: "TLS that is not",
    accepted:
      "expired, wrong host, self-signed, wrong authority, no client certificate, TLS 1.1, revoked: 7 of 7 refused by name",
    tests: "tests/transport/tls.test.ts",
  },
  {
    id: "N20",
    row: "N20",
    name: "timing and guessing of secrets",
    accepted:
      "10^5 trials, right prefix against wrong: |t| < 4.5; 10 failures a minute from another machine refused; no secrets in logs",
    tests: "tests/node/door.test.ts",
  },
  {
    id: "N21",
    name: "foreign pages at the WebSocket",
    accepted: "foreign, null, missing Origin with a browser's agent: 403; allowed: 101",
    tests: "tests/transport/upgrade.test.ts",
  },
  {
    id: "N22",
    name: "DNS rebinding",
    accepted: "a foreign Host refused on every path",
    tests: "tests/transport/upgrade.test.ts",
  },
  {
    id: "N23",
    row: "N23",
    name: "exposure",
    accepted: "a default start listens on 127.0.0.1 only; elsewhere without secrets it refuses to start",
    tests: "tests/node/write.test.ts; tests/node/door.test.ts",
  },
  {
    id: "N24",
    row: "F37",
    name: "no descriptors left",
    accepted: "128 descriptors, 400 clients: <= 10 % of a core, those inside unaffected, room <= 1 s after",
    tests: "tests/node/crowded.test.ts",
  },
  {
    id: "N25",
    row: "F31",
    name: "damage on the way",
    accepted: "10^4 flips: all found before they are applied, resync <= 1 s",
    tests: "tests/protocol/framer.test.ts; bun run sim",
  },
  {
    id: "N26",
    name: "versions side by side",
    accepted: "this version and the one before it in every pairing",
    unmeasured: "there is one version so far; tests/protocol/wire.test.ts fixes its bytes",
  },
  {
    id: "N27",
    name: "subscriptions that multiply",
    accepted: "10^4 overlapping subscriptions: refused, or <= 1x the bytes of the union",
    tests: "tests/node/allowance.test.ts",
  },
  {
    id: "N28",
    name: "remote writes of unknown result",
    accepted: "applied once or reported unknown",
    unmeasured: "there are no remote writes: each element has one writer, or converges in the mesh",
  },
  {
    id: "N29",
    row: "N29",
    name: "rolling restarts",
    accepted: "SIGTERM: clients told to come back, 0 errors that they see, drained <= 10 s",
  },
];

export type Verdict = "reached" | "not reached" | "in part" | "by tests" | "not tried" | "not measured";

export interface HazardLine {
  readonly hazard: Hazard;
  readonly verdict: Verdict;
  readonly measured: readonly string[];
}

/** What this run measured, beside what is accepted. "In part": nothing was wrong, but it was not tried as far as that asks. */
export function tableOf(
  results: readonly { id: string; measures: readonly Measure[] }[],
): readonly HazardLine[] {
  return hazards.map((hazard) => {
    const measures = results.flatMap(({ id, measures }) =>
      measures.filter((measure) => measure.hazard === hazard.id).map((measure) => ({ id, ...measure })),
    );
    const measured = measures.map(({ id, text }) => `${id}: ${text}`);
    if (hazard.unmeasured) return { hazard, verdict: "not measured", measured: [hazard.unmeasured] };
    if (measures.length === 0) return { hazard, verdict: hazard.row ? "not tried" : "by tests", measured };
    if (measures.some(({ met }) => met === false)) return { hazard, verdict: "not reached", measured };
    return { hazard, verdict: measures.every(({ met }) => met) ? "reached" : "in part", measured };
  });
}
