import { Replica } from "../../src/node/following/replica.ts";
import type { Encoding, Reading } from "../../src/node/publishing/encoding.ts";
import { Feeds } from "../../src/node/publishing/feed.ts";
import type { Cluster } from "./cluster.ts";

/** What the nodes of this process hold on behalf of links, seen from inside; one world at a time. */
const replicas = new Set<Replica>();
const readings = new Map<Reading, Feeds>();

const { take } = Replica.prototype;
Replica.prototype.take = function (chunks, head) {
  replicas.add(this);
  take.call(this, chunks, head);
};

const { read, finish } = Feeds.prototype;
Feeds.prototype.read = function (reading) {
  readings.set(reading, this);
  read.call(this, reading);
};
Feeds.prototype.finish = function (reading) {
  readings.delete(reading);
  finish.call(this, reading);
};

export function forgetBounds(): void {
  replicas.clear();
  readings.clear();
}

/** Bytes of deltas that have arrived in part, of the worst follower: what they keep alive, not what they say. */
function assemblyBytes(): number {
  return Math.max(0, ...[...replicas].map(({ keptBytes }) => keptBytes));
}

/** Bytes of deltas that are on their way to followers, by the node that has most of them. */
function encodingBytes(): number {
  const byNode = new Map<Feeds, Set<Encoding>>();
  for (const [{ encoding }, feeds] of readings) {
    const encodings = byNode.get(feeds) ?? new Set();
    byNode.set(feeds, encodings.add(encoding));
  }
  let most = 0;
  for (const encodings of byNode.values()) {
    let bytes = 0;
    for (const { memoryBytes } of encodings) bytes += memoryBytes;
    most = Math.max(most, bytes);
  }
  return most;
}

/** Frames' heads, runs of blocks and metadata come on top of the bytes themselves. */
const overhead = 2;
const roomBytes = 16_384;

/** The most that a link brings at once. */
const pieceBytes = 1 << 20;

/** What grows beyond its limit somewhere; null: nothing does. */
export function overgrown({ members, weather, imageBytes, dying }: Cluster): string | null {
  const { queueBytes } = weather.odds;
  const oneBytes = overhead * imageBytes + roomBytes;
  let linksMost = 0;
  for (const { node, index } of members) {
    if (!node) continue;
    const { links } = node.stats();
    linksMost = Math.max(linksMost, links.length);
    for (const { queuedBytes, waitingBytes } of links) {
      if (waitingBytes !== null && waitingBytes > queueBytes)
        return `n${index}: ${waitingBytes} bytes of commits wait, above ${queueBytes}`;
      if (queuedBytes > oneBytes)
        return `n${index}: ${queuedBytes} bytes wait for one follower, above ${oneBytes}`;
    }
  }
  const assembled = assemblyBytes();
  // What a link brings in one piece stays whole as long as any of it does.
  if (assembled > oneBytes + 2 * pieceBytes)
    return `${assembled} bytes of one delta have arrived, above ${oneBytes + 2 * pieceBytes}`;
  if (dying > 0) return null;
  const encoded = encodingBytes();
  const encodedMost = (linksMost + 1) * (oneBytes + queueBytes);
  if (encoded > encodedMost)
    return `${encoded} bytes of deltas are on their way from one node, above ${encodedMost}`;
  return null;
}

/** What is left over where nothing is under way. */
export function leftOver({ members, quietRoutes }: Cluster, waitingJobs: number): string | null {
  if (readings.size > 0) return `${readings.size} deltas are still being read`;
  const assembled = assemblyBytes();
  if (assembled > 0) return `${assembled} bytes of a delta that never ends`;
  const jobsMost = 20 + 60 * members.length + 4 * quietRoutes;
  if (waitingJobs > jobsMost) return `${waitingJobs} timers wait, above ${jobsMost}`;
  return null;
}
