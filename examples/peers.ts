/** Four peers around one square array: who owns which quadrant, and whom each follows. */
import type { Node, StartOptions } from "../src/index.ts";
import type { Program } from "./program.ts";
import type { Report } from "./report.ts";

export const peerNames = ["a", "b", "c", "d"] as const;
export type PeerName = (typeof peerNames)[number];

/** Where each peer listens when nothing else is said. */
export const defaultPeers = peerNames.map((name, i) => `${name}=127.0.0.1:${7060 + i}`).join(",");

/** "a=127.0.0.1:7060,b=..." as an address per name; a sentence about what is wrong otherwise. */
export function parsePeers(text: string): Record<PeerName, string> {
  const peers = Object.fromEntries(text.split(",").map((pair) => pair.split(/=(.*)/).slice(0, 2)));
  const absent = peerNames.filter((name) => !peers[name]);
  if (absent.length) throw new Error(`--peers needs an address for ${absent.join(", ")}: ${defaultPeers}`);
  return peers as Record<PeerName, string>;
}

/** Top left and size of a peer's own quadrant: a | b above c | d. */
export function quadrant(name: PeerName, size: number): { start: [number, number]; shape: [number, number] } {
  const half = size / 2;
  const at = peerNames.indexOf(name);
  return { start: [at < 2 ? 0 : half, at % 2 === 0 ? 0 : half], shape: [half, half] };
}

/** A node that serves its own quadrant, and follows the three others where they are. */
export function peerOptions(name: PeerName, peers: Record<PeerName, string>, size: number): StartOptions {
  return {
    listen: peers[name],
    shape: [size, size],
    servers: peerNames
      .filter((other) => other !== name)
      .map((other) => {
        const { start, shape } = quadrant(other, size);
        return { address: peers[other], maps: [[start, shape, start, null]] };
      }),
    checkHash: true,
    reconnect: { minMs: 50, maxMs: 1000 },
    onError: () => {}, // peers come one after the other: refused connections are part of it
  };
}

/** A node that follows the next peer of the ring, and may write everything. */
export function ringOptions(name: PeerName, peers: Record<PeerName, string>, size: number): StartOptions {
  const next = peerNames[(peerNames.indexOf(name) + 1) % peerNames.length]!;
  return {
    mesh: true,
    listen: peers[name],
    shape: [size, size],
    server: peers[next],
    checkHash: true,
    reconnect: { minMs: 50, maxMs: 1000 },
    onError: () => {}, // peers come one after the other: refused connections are part of it
  };
}

const settledMs = 300;

/** Answers the runner when nothing has come from any peer for a while: there is no version that all four could wait for. */
export function reportWhenSettled(self: Program, node: Node, values: () => Report["values"]): void {
  let touchedAt = performance.now();
  const problems: string[] = [];
  node.onUpdate(() => void (touchedAt = performance.now()));
  node.on("mismatch", ({ source }) => problems.push(`the hash of ${source} did not match`));
  self.reports(async () => {
    while (performance.now() - touchedAt < settledMs) await Bun.sleep(20);
    const digests = node.read((a) => new Bun.CryptoHasher("sha256").update(a.data).digest("hex"));
    return {
      versions: { [node.name]: node.version[node.name] ?? 0 },
      digests: { main: digests },
      values: values(),
      problems,
    };
  });
}
