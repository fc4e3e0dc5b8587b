import { intersects, type Runs } from "./runs.ts";

/** Hulls kept for one key: more runs than that are indexed by the stretches that groups of neighbours span. */
const hullsMax = 1024;
/** Keys that are looked at one by one before the index is built anew. */
const pendingMax = 64;

interface Entry<K> {
  readonly key: K;
  readonly runs: Runs;
  live: boolean;
  /** The query in which this entry was last looked at. */
  seen: number;
}

/**
 * Finds, among many sets of runs, those that have a byte in common with given ones: which subscriptions a commit
 * concerns. A query takes O(log n) for each of its runs and for each key it finds, however many keys there are.
 * The index is rebuilt now and then, so that adding and removing are cheap on average.
 */
export class RunIndex<K> {
  private readonly entries = new Map<K, Entry<K>>();
  private pending: Entry<K>[] = [];
  private tree = new HullTree<Entry<K>>([]);
  private dead = 0;
  private queries = 0;

  get size(): number {
    return this.entries.size;
  }

  /** Adds the key, or gives it other runs. */
  set(key: K, runs: Runs): void {
    this.delete(key);
    const entry = { key, runs, live: true, seen: 0 };
    this.entries.set(key, entry);
    this.pending.push(entry);
    if (this.pending.length > pendingMax + 2 * this.entries.size) {
      this.pending = this.pending.filter((candidate) => candidate.live);
    }
  }

  delete(key: K): boolean {
    const entry = this.entries.get(key);
    if (entry === undefined) return false;
    entry.live = false;
    this.entries.delete(key);
    this.dead++;
    return true;
  }

  /** The keys whose runs share a byte with `runs`, each once, in no particular order. */
  query(runs: Runs): K[] {
    if (this.pending.length > pendingMax || this.dead > pendingMax + this.entries.size) this.rebuild();
    const query = ++this.queries;
    const found: K[] = [];
    let left = this.entries.size;
    const look = (entry: Entry<K>): boolean => {
      if (!entry.live || entry.seen === query) return true;
      entry.seen = query;
      left--;
      if (intersects(entry.runs, runs)) found.push(entry.key);
      return left > 0;
    };
    for (const entry of this.pending) look(entry);
    for (let i = 0; i < runs.length && left > 0; i += 2)
      this.tree.visit(runs[i]!, runs[i]! + runs[i + 1]!, look);
    return found;
  }

  private rebuild(): void {
    const hulls: Hull<Entry<K>>[] = [];
    for (const entry of this.entries.values()) addHulls(entry, entry.runs, hulls);
    this.tree = new HullTree(hulls);
    this.pending = [];
    this.dead = 0;
  }
}

interface Hull<V> {
  readonly start: number;
  readonly end: number;
  readonly value: V;
}

function addHulls<V>(value: V, runs: Runs, into: Hull<V>[]): void {
  const group = 2 * Math.ceil(runs.length / 2 / hullsMax);
  for (let i = 0; i < runs.length; i += group) {
    const last = Math.min(i + group, runs.length) - 2;
    into.push({ start: runs[i]!, end: runs[last]! + runs[last + 1]!, value });
  }
}

/** Intervals sorted by start, under a binary tree of the greatest end, which tells whole subtrees that end too early. */
class HullTree<V> {
  private readonly values: V[];
  private readonly starts: Float64Array;
  /** A heap: node 1 is the root, the children of n are 2n and 2n + 1, the leaves begin at `leaves`. */
  private readonly ends: Float64Array;
  private readonly leaves: number;

  constructor(hulls: Hull<V>[]) {
    hulls.sort((a, b) => a.start - b.start);
    this.values = hulls.map((hull) => hull.value);
    this.starts = Float64Array.from(hulls, (hull) => hull.start);
    this.leaves = 2 ** Math.ceil(Math.log2(Math.max(1, hulls.length)));
    this.ends = new Float64Array(2 * this.leaves);
    for (const [i, hull] of hulls.entries()) this.ends[this.leaves + i] = hull.end;
    for (let n = this.leaves - 1; n > 0; n--)
      this.ends[n] = Math.max(this.ends[2 * n]!, this.ends[2 * n + 1]!);
  }

  /** Calls `look` for each interval that shares a byte with `from` up to `to`, until it returns false. */
  visit(from: number, to: number, look: (value: V) => boolean): boolean {
    return this.visitUnder(1, 0, this.leaves, from, to, look);
  }

  private visitUnder(
    n: number,
    first: number,
    count: number,
    from: number,
    to: number,
    look: (value: V) => boolean,
  ): boolean {
    if (this.ends[n]! <= from || !(this.starts[first]! < to)) return true;
    if (count === 1) return look(this.values[first]!);
    const half = count / 2;
    return (
      this.visitUnder(2 * n, first, half, from, to, look) &&
      this.visitUnder(2 * n + 1, first + half, half, from, to, look)
    );
  }
}
