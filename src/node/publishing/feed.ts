import { regionRuns, regionText } from "../../delta/region.ts";
import { RunIndex } from "../../delta/run_index.ts";
import { normalise, type Runs, totalBytes, union } from "../../delta/runs.ts";
import { SubscribedSpace } from "../../delta/space.ts";
import { MerkleTree } from "../../integrity/merkle.ts";
import { hasher, sha256 } from "../../memory/digest.ts";
import { refuse } from "../../protocol/fault.ts";
import { leafBytes } from "../../protocol/limits.ts";
import type { SubscribeMessage } from "../../protocol/messages.ts";
import { covers } from "../options/secrets.ts";
import { realWorld, type World } from "../runtime/world.ts";
import type { Published } from "../storage/shadow.ts";
import { stretchesFew, stretchesMaxOfNode } from "./allowance.ts";
import { Encoding, type Reader, type Reading } from "./encoding.ts";
import { Keeping, type KeepingLimits } from "./keeping.ts";
import { Resting } from "./resting.ts";

/** The part of a request that decides about the bytes. */
type Wanted = Pick<SubscribeMessage, "regions" | "verify" | "mode">;

/** What deltas may take that nobody reads, as a share of what is kept for those that somebody does. */
const restingShare = 1 / 4;

/** Where a delta starts. */
type Start = number | "full";

/** What an encoding is made of. */
interface Content {
  readonly kind: "full" | "delta" | "repair";
  /** Where the delta starts on the wire. */
  readonly from: number;
  readonly to: number;
  readonly runs: Runs;
  readonly metaChanged: boolean;
}

/** A link that follows feeds. */
export interface Follower extends Reader {
  /** There is a newer version of what these subscriptions follow. */
  committed(version: number, subscriptions: Iterable<number>): void;
  /** The same for those that want every commit, at each of them. */
  committedEach(version: number, subscriptions: Iterable<number>): void;
}

/**
 * What all followers of the same regions share: the bytes they follow, the encodings of what changed, and the Merkle tree over
 * them. A thousand followers that come back at once cost one encoding.
 */
export class Feed {
  /** Of what it carries. */
  readonly key: string;
  readonly runs: Runs;
  readonly bytes: number;
  readonly verified: boolean;
  readonly #storage: Published;
  #space: SubscribedSpace | null = null;
  #tree: MerkleTree | null = null;
  #treeVersion = 0;
  readonly #encodings = new Map<Start, Encoding>();
  readonly #resting: Resting;
  #encodedVersion = -1;
  /** Who follows it: subscription numbers by link. */
  readonly followers = new Map<Follower, Set<number>>();
  /** Times a delta was encoded, for whoever wants to see that it is shared. */
  encoded = 0;

  constructor(key: string, storage: Published, runs: Runs, verified: boolean, resting: Resting) {
    this.key = key;
    this.#storage = storage;
    this.#resting = resting;
    this.runs = runs;
    this.bytes = totalBytes(runs);
    this.verified = verified;
  }

  /** The version that a delta made now leads to. */
  get newest(): number {
    return this.#storage.version;
  }

  /** What changed since `from` (everything if `full`) as one delta to the newest version; null when nothing that is followed did. */
  delta(from: number, full: boolean): Encoding | null {
    const version = this.newest;
    if (this.#encodedVersion !== version) this.forget();
    this.#encodedVersion = version;
    const start = full ? "full" : from;
    const known = this.#encodings.get(start);
    if (known) return known;
    const { runs } = full ? this : this.#storage.changedSince(from, this.runs, true);
    const metaChanged = full || this.#storage.isMetaNewer(from);
    if (runs.length === 0 && !metaChanged && !full) return null;
    const made: Encoding = this.#encode(
      { kind: full ? "full" : "delta", from: full ? 0 : from, to: version, runs, metaChanged },
      () => this.#rest(start, made),
    );
    this.#encodings.set(start, made);
    this.#rest(start, made);
    return made;
  }

  /** Nobody reads it, or not yet. */
  #rest(start: Start, encoding: Encoding): void {
    if (this.#encodings.get(start) !== encoding) return; // there is a newer version
    const forget = () => void this.#encodings.delete(start);
    if (encoding.to === this.newest) this.#resting.add(encoding, forget);
    else forget();
  }

  /** What it has for whoever asks next. */
  forget(): void {
    for (const encoding of this.#encodings.values()) this.#resting.delete(encoding);
    this.#encodings.clear();
  }

  /**
   * The answer to a follower that has `since` and whose bytes differ: what changed from there on, and every leaf that is not like
   * ours. `from` is where the delta starts on the wire.
   */
  repair(from: number, since: number, theirs: Uint8Array): Encoding {
    const differing = this.#currentTree().differingLeaves(theirs);
    const wrong = normalise(differing.flatMap((leaf) => [...this.#leafRuns(leaf, 1)]));
    const changed = this.#storage.changedSince(since, this.runs);
    const runs = union(changed.runs, wrong);
    return this.#encode({ kind: "repair", from, to: changed.version, runs, metaChanged: true });
  }

  #encode({ kind, from, to, runs, metaChanged }: Content, unread?: () => void): Encoding {
    this.encoded++;
    return new Encoding(
      this.#storage,
      {
        incarnation: this.#storage.incarnation,
        from,
        to,
        totalBytes: totalBytes(runs),
        full: kind === "full",
        repair: kind === "repair",
        meta: metaChanged ? this.#storage.metaJson().slice() : undefined,
        root: this.verified ? this.#currentTree().root() : undefined,
      },
      runs,
      unread,
    );
  }

  /** The tree at the newest version; only leaves with changed blocks are hashed. */
  #currentTree(): MerkleTree {
    const tree = (this.#tree ??= new MerkleTree(this.bytes, hasher));
    const { version, runs } = this.#storage.changedSince(this.#treeVersion, this.runs);
    const leaves = this.#subscribed.leaves(runs, leafBytes);
    for (let i = 0; i < leaves.length; i += 2)
      tree.updateFrom(leaves[i]!, leaves[i + 1]!, (first, count, into) =>
        this.#storage.gather(this.#leafRuns(first, count), into),
      );
    this.#treeVersion = version;
    return tree;
  }

  get #subscribed(): SubscribedSpace {
    return (this.#space ??= new SubscribedSpace(this.runs));
  }

  /** Source image bytes under some leaves. */
  #leafRuns(first: number, count: number): Runs {
    return this.#subscribed.imageRuns(first * leafBytes, Math.min((first + count) * leafBytes, this.bytes));
  }
}

type Mode = SubscribeMessage["mode"];

/** The feeds of one mode: whom a commit concerns, and up to which version they have been told. */
interface Group {
  readonly feeds: Set<Feed>;
  readonly index: RunIndex<Feed>;
  version: number;
}

export interface FeedsLimits extends KeepingLimits {
  /** Stretches under all feeds that have more than a few. */
  readonly stretchesMax: number;
}

/** Feeds by what they carry, made when first wanted and forgotten with their last follower. */
export class Feeds {
  readonly #storage: Published;
  readonly #feeds = new Map<string, Feed>();
  readonly #groups: Readonly<Record<Mode, Group>>;
  /** Under all of them that have more than a few. */
  #stretches = 0;
  /** By feeds that are gone. */
  #encodedBefore = 0;
  readonly keeping: Keeping;
  readonly resting: Resting;
  readonly #stretchesMax: number;

  constructor(
    storage: Published,
    world: World = realWorld,
    { stretchesMax = stretchesMaxOfNode, ...limits }: Partial<FeedsLimits> = {},
  ) {
    this.#storage = storage;
    this.#stretchesMax = stretchesMax;
    this.keeping = new Keeping(storage.schema.imageBytes, world, limits);
    this.resting = new Resting(restingShare * this.keeping.bytesMax);
    const { version } = storage;
    this.#groups = {
      latest: { feeds: new Set(), index: new RunIndex(), version },
      every: { feeds: new Set(), index: new RunIndex(), version },
    };
    storage.beforeCommit = (changing) => {
      this.resting.clear();
      this.keeping.freeze(changing);
    };
  }

  /** From now on a commit leaves to the reading what it still needs. */
  read(reading: Reading): void {
    this.resting.delete(reading.encoding);
    this.keeping.add(reading);
  }

  /** It is on its way. */
  begin(reading: Reading): void {
    this.keeping.begin(reading);
  }

  /** It waits for others before it. */
  putBy(reading: Reading): void {
    this.keeping.putBy(reading);
  }

  /** It has taken a part. */
  moved(reading: Reading): void {
    this.keeping.moved(reading);
  }

  finish(reading: Reading): void {
    if (this.keeping.remove(reading)) reading.encoding.unread();
  }

  /**
   * The bytes of some regions. INVALID_REGION when one does not fit the schema; the fault FORBIDDEN when it is not among the `rights`
   * (null: everything).
   */
  runsOf(regions: Wanted["regions"], rights: Runs | null): Runs {
    const runs = regionRuns(this.#storage.schema, regions);
    if (rights && !covers(rights, runs)) this.#forbid(regions, rights);
    return runs;
  }

  #forbid(regions: Wanted["regions"], rights: Runs): never {
    const { schema } = this.#storage;
    const shut = regions.find((region) => !covers(rights, regionRuns(schema, [region])))!;
    refuse("FORBIDDEN", `This key does not open ${regionText(shut)}: follow less, by maps.`);
  }

  /**
   * The feed of these bytes. Whoever does not follow it then drops it again. Where nobody follows it yet, the leaves of its tree are to
   * be paid for. @throws LIMIT where all feeds together are too many stretches
   */
  take(
    runs: Runs,
    { verify: verified, mode }: Pick<Wanted, "verify" | "mode">,
    payLeaves: (leaves: number) => void = () => {},
  ): Feed {
    const bytes = new Uint8Array(runs.buffer, runs.byteOffset, runs.byteLength);
    const key = `${mode}:${verified}:${sha256(bytes).toHex()}`;
    const known = this.#feeds.get(key);
    if (known) return known;
    const feed = new Feed(key, this.#storage, runs, verified, this.resting);
    const stretches = stretchesOf(feed);
    if (this.#stretches + stretches > this.#stretchesMax)
      refuse(
        "LIMIT",
        `All that is followed here may take up ${this.#stretchesMax} separate stretches of memory: take whole rows.`,
      );
    if (verified) payLeaves(Math.ceil(feed.bytes / leafBytes));
    this.#stretches += stretches;
    this.#feeds.set(key, feed);
    this.#groups[mode].feeds.add(feed);
    this.#groups[mode].index.set(feed, runs);
    return feed;
  }

  /** Forgets a feed that nobody follows any more. */
  drop(feed: Feed): void {
    if (feed.followers.size) return;
    for (const { feeds, index } of Object.values(this.#groups)) if (feeds.delete(feed)) index.delete(feed);
    feed.forget();
    this.#feeds.delete(feed.key);
    this.#stretches -= stretchesOf(feed);
    this.#encodedBefore += feed.encoded;
  }

  /** The feeds of one mode with something new since this was last asked. */
  renewed(mode: Mode): Iterable<Feed> {
    const group = this.#groups[mode];
    if (group.feeds.size === 0) return [];
    const since = group.version;
    const { version, runs } = this.#storage.changedSince(since);
    group.version = version;
    if (version === since) return [];
    return this.#storage.isMetaNewer(since) ? group.feeds : group.index.query(runs);
  }

  /** Whether anybody wants every commit. */
  get hasEach(): boolean {
    return this.#groups.every.feeds.size > 0;
  }

  get encoded(): number {
    let sum = this.#encodedBefore;
    for (const feed of this.#feeds.values()) sum += feed.encoded;
    return sum;
  }
}

/** As it counts. */
function stretchesOf({ runs }: Feed): number {
  return runs.length / 2 > stretchesFew ? runs.length / 2 : 0;
}
