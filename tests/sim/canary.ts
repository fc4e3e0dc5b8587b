import { library } from "../../src/memory/library.ts";
import { HybridClock } from "../../src/delta/stamp.ts";
import { field } from "../../src/memory/handle.ts";
import { bufferAt } from "../../src/memory/library.ts";
import { Segment } from "../../src/memory/segment.ts";
import { Backlog } from "../../src/node/publishing/backlog.ts";
import { Conversation } from "../../src/node/runtime/conversation.ts";
import { Encoding } from "../../src/node/publishing/encoding.ts";
import { Feed, Feeds } from "../../src/node/publishing/feed.ts";
import { Mirror } from "../../src/node/following/mirror.ts";
import { Line } from "../../src/node/following/line.ts";
import { Publishing } from "../../src/node/publishing/publishing.ts";
import { Replica } from "../../src/node/following/replica.ts";
import { StandingPlace } from "../../src/node/storage/standing.ts";
import { Storage } from "../../src/node/storage/storage.ts";
import { crc32cRange } from "../../src/protocol/crc32c.ts";
import { Framer } from "../../src/protocol/framer.ts";
import { headerBytes } from "../../src/protocol/limits.ts";
import type { Fault } from "./faults.ts";
import type { Layout } from "./layout.ts";

/** A bug to plant: a simulation that does not find it proves nothing. */
export interface Canary {
  readonly bug: string;
  /** The faults that it takes to find it, the last of them above all: without that one it stays hidden. None: any world finds it. */
  readonly needs: readonly Fault[];
  readonly layout?: Layout;
  plant(): void;
}

/** Every so often the planted bug shows. */
function often(every: number): () => boolean {
  let count = 0;
  return () => ++count % every === 0;
}

/** A call of the library's merge of what a peer of a mesh has. */
interface Merging {
  readonly handle: number;
  /** For each array the offset of the values, bytes of each, the offset of the stamps, and how many. */
  readonly places: Float64Array;
  readonly theirs: Uint8Array;
  readonly bytes: number;
  readonly runs: Float64Array;
  readonly count: number;
  /** Goes on with it; `image` instead of `theirs`. */
  merge(image: Uint8Array): number;
}

function wrapMerge(wrapped: (merging: Merging) => number): void {
  const { cellsMerge } = library;
  type Arguments = [number, Float64Array, number, Uint8Array, number, Float64Array, number, number];
  const value = (...all: Arguments) => {
    const [handle, places, placeCount, theirs, bytes, runs, count, limit] = all;
    const merge = (image: Uint8Array) =>
      cellsMerge(handle, places, placeCount, image, bytes, runs, count, limit);
    return wrapped({ handle, places, theirs, bytes, runs, count, merge });
  };
  Object.defineProperty(library, "cellsMerge", { value });
}

function workingOf(handle: number, bytes: number): Uint8Array {
  return new Uint8Array(bufferAt(library.segmentField(handle, field.working), bytes));
}

function u64At(image: Uint8Array, offset: number): bigint {
  return new DataView(image.buffer, image.byteOffset + offset, 8).getBigUint64(0, true);
}

/** A copy of `theirs` in which those elements that have the same stamp as ours seem never to have been written. */
function withoutTies({ places, theirs }: Merging, ours: Uint8Array): Uint8Array {
  const copy = theirs.slice();
  for (let p = 0; p < places.length; p += 4) {
    const [values, width, stamps, count] = places.subarray(p, p + 4) as unknown as [
      number,
      number,
      number,
      number,
    ];
    for (let i = 0; i < count; i++) {
      if (u64At(theirs, stamps + 8 * i) !== u64At(ours, stamps + 8 * i)) continue;
      copy.fill(0, stamps + 8 * i, stamps + 8 * (i + 1));
      copy.fill(0, values + width * i, values + width * (i + 1));
    }
  }
  return copy;
}

export const canaries: Readonly<Record<string, Canary>> = {
  torn: {
    bug: "a delta on its way picks up bytes of later commits",
    needs: ["stall"],
    layout: "tree",
    plant() {
      Encoding.prototype.freeze = () => {};
    },
  },
  incarnation: {
    bug: "a restarted server is taken for the one it was",
    needs: ["reboot"],
    plant() {
      Replica.prototype.forgetVersion = () => {};
    },
  },
  takeover: {
    bug: "a server that comes back with its memory forgets what changed before",
    needs: ["restart"],
    plant() {
      const { create } = Segment;
      const { changedSince } = Segment.prototype;
      const found = new WeakMap<Segment, number>();
      Segment.create = (...args) => {
        const segment = create.apply(Segment, args);
        found.set(segment, segment.version);
        return segment;
      };
      Segment.prototype.changedSince = function (version, clip) {
        return changedSince.call(this, version > 0 ? Math.max(version, found.get(this) ?? 0) : 0, clip);
      };
    },
  },
  redial: {
    bug: "now and then a lost link is not dialled again",
    needs: ["cut"],
    plant() {
      const { connect } = Line.prototype;
      const isForgotten = often(7);
      Line.prototype.connect = function () {
        if (this.traffic.receivedBytes === 0 || !isForgotten()) connect.call(this);
      };
    },
  },
  greeting: {
    bug: "who resumes is not told of a commit in the middle of the handshake",
    needs: ["cut", "delay"],
    layout: "tree",
    plant() {
      const { step } = Conversation.prototype;
      Conversation.prototype.step = function (event) {
        const { kind, subscriptions } = event as { kind: string; subscriptions?: unknown };
        if (kind !== "committed" || !Array.isArray(subscriptions) || subscriptions.length > 0)
          step.call(this, event);
      };
    },
  },
  header: {
    bug: "a frame's header that arrives in two reads loses a byte",
    needs: ["partial"],
    plant() {
      const { push } = Framer.prototype;
      Framer.prototype.push = function (bytes) {
        const isInHeader = this.heldBytes > 0 && this.heldBytes < 16;
        push.call(this, isInHeader && bytes.length > 1 ? bytes.subarray(1) : bytes);
      };
    },
  },
  checksum: {
    bug: "the checksums of frames are taken on trust",
    needs: ["flip"],
    plant() {
      const { crc32c } = library;
      /** Where a whole frame lies in memory, its payload has whatever checksum its header says. */
      const believed: typeof crc32c = (data, bytes, seed) => {
        const { buffer, byteOffset } = data as Uint8Array<ArrayBuffer>;
        if (byteOffset < headerBytes) return crc32c(data, bytes, seed);
        const header = new Uint8Array(buffer, byteOffset - headerBytes, headerBytes);
        const view = new DataView(buffer, byteOffset - headerBytes, headerBytes);
        const isFrame =
          view.getUint32(0, true) === bytes && view.getUint32(12, true) === crc32cRange(header, 0, 12);
        return isFrame ? view.getInt32(8, true) : crc32c(data, bytes, seed);
      };
      Object.defineProperty(library, "crc32c", { value: believed });
    },
  },
  trusting: {
    bug: "the roots of deltas are taken on trust",
    needs: ["spoil"],
    plant() {
      const { apply } = Replica.prototype;
      let root: Uint8Array | undefined;
      Replica.prototype.apply = function (delta) {
        root = delta.root;
        return apply.call(this, delta);
      };
      Mirror.prototype.rootWith = () => root!;
    },
  },
  drain: {
    bug: "now and then it goes unnoticed that a link takes bytes again",
    needs: ["stall"],
    plant() {
      const { onDrain } = Conversation.prototype;
      const isMissed = often(3);
      Conversation.prototype.onDrain = function () {
        if (!isMissed()) onDrain.call(this);
      };
    },
  },
  silence: {
    bug: "a peer that has fallen silent is taken for alive",
    needs: ["partition"],
    plant() {
      const { step } = Conversation.prototype;
      Conversation.prototype.step = function (event) {
        const { kind, now } = event as { kind: string; now: number };
        if (kind === "tick" && this.state.phase === "open") step.call(this, { kind: "heard", now });
        step.call(this, event);
      };
    },
  },
  deaf: {
    bug: "now and then a link is not told of a commit",
    needs: [],
    plant() {
      const { committed } = Publishing.prototype;
      const isMissed = often(5);
      Publishing.prototype.committed = function (version, subscriptions) {
        if (!isMissed()) committed.call(this, version, subscriptions);
      };
    },
  },
  merged: {
    bug: "now and then a commit goes by those who want every one of them",
    needs: [],
    plant() {
      const { committedEach } = Publishing.prototype;
      const isMissed = often(5);
      Publishing.prototype.committedEach = function (version, subscriptions) {
        if (!isMissed()) committedEach.call(this, version, subscriptions);
      };
    },
  },
  shortcut: {
    bug: "conflation forgets what the last delta but one brought",
    needs: [],
    plant() {
      const { delta } = Feed.prototype;
      Feed.prototype.delta = function (from, full) {
        return delta.call(this, full ? from : Math.max(from, this.newest - 1), full);
      };
    },
  },
  metadata: {
    bug: "new metadata stays where it is",
    needs: [],
    layout: "tree",
    plant() {
      Storage.prototype.isMetaNewer = () => false;
    },
  },
  hurry: {
    bug: "a follower's rate is not kept",
    needs: ["delay"],
    plant() {
      const { step } = Conversation.prototype;
      Conversation.prototype.step = function (event) {
        const { kind, request } = event as { kind: string; request?: { maxRate: number | null } };
        if (kind === "subscribe" && request)
          return step.call(this, { ...(event as object), request: { ...request, maxRate: null } });
        return step.call(this, event);
      };
    },
  },
  blocks: {
    bug: "in a mesh whole blocks are taken, with what others wrote beside it",
    needs: ["reorder"],
    layout: "mesh",
    plant() {
      wrapMerge(({ handle, theirs, bytes, runs, count, merge }) => {
        const ours = workingOf(handle, bytes).slice();
        const left = merge(theirs);
        const pieces = new Float64Array(3 * count);
        for (let k = 0; k < count; k++) pieces.set([runs[2 * k]!, runs[2 * k]!, runs[2 * k + 1]!], 3 * k);
        const isNews = Buffer.compare(ours, workingOf(handle, bytes)) !== 0;
        if (isNews) library.scatter(handle, theirs, bytes, pieces, count);
        return left;
      });
    },
  },
  tie: {
    bug: "in a mesh of two writes at one moment the one that was here first stays",
    needs: ["clock"],
    layout: "mesh",
    plant() {
      wrapMerge((merging) => merging.merge(withoutTies(merging, workingOf(merging.handle, merging.bytes))));
    },
  },
  unaware: {
    bug: "in a mesh a write takes no notice of what it overwrites, if that is ahead by more than a moment",
    needs: ["clock"],
    layout: "mesh",
    plant() {
      const ticksOfAMoment = 100 * 2048;
      Object.defineProperty(HybridClock.prototype, "ownLimit", {
        get(this: HybridClock) {
          return this.now + ticksOfAMoment;
        },
      });
    },
  },
  hasty: {
    bug: "who wants to write in the middle of a delta makes its bytes be forgotten",
    needs: ["delay", "partial"],
    layout: "maps",
    plant() {
      const { clear } = StandingPlace.prototype;
      const { gather } = Segment.prototype;
      StandingPlace.prototype.clear = function () {
        Segment.prototype.gather = () => {};
        clear.call(this);
        Segment.prototype.gather = gather;
      };
    },
  },
  hoard: {
    bug: "nobody counts the commits that wait for a slow follower",
    needs: ["stall"],
    layout: "tree",
    plant() {
      const { push } = Backlog.prototype;
      Backlog.prototype.push = function (reading) {
        const { bytes } = this;
        push.call(this, reading);
        this.bytes = bytes;
      };
    },
  },
  leak: {
    bug: "deltas that were sent are kept",
    needs: [],
    plant() {
      Feeds.prototype.finish = () => {};
    },
  },
};
