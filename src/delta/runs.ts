/**
 * A set of bytes, as pairs of offset and length: sorted, disjoint, merged where they touch, none empty. Offsets and
 * lengths are whole bytes below 2^53. Every function here returns such runs, and expects them unless it says otherwise.
 */
export type Runs = Float64Array<ArrayBuffer>;

export const noRuns: Runs = new Float64Array(0);

/** Collects runs that come in ascending order, joining those that touch or overlap. */
export class RunBuilder {
  private pairs = new Float64Array(16);
  private used = 0;

  add(offset: number, length: number): void {
    if (length === 0) return;
    const { used } = this;
    if (used > 0) {
      const last = this.pairs[used - 2]!;
      const end = last + this.pairs[used - 1]!;
      if (offset <= end) {
        this.pairs[used - 1] = Math.max(end, offset + length) - last;
        return;
      }
    }
    if (used === this.pairs.length) {
      const longer = new Float64Array(used * 2);
      longer.set(this.pairs);
      this.pairs = longer;
    }
    this.pairs[used] = offset;
    this.pairs[used + 1] = length;
    this.used = used + 2;
  }

  finish(): Runs {
    return this.pairs.slice(0, this.used);
  }
}

/** Any pairs of offset and length, sorted and joined. */
export function normalise(pairs: ArrayLike<number>): Runs {
  const count = pairs.length / 2;
  const order = new Uint32Array(count);
  let sorted = true;
  for (let i = 0; i < count; i++) {
    order[i] = i;
    if (i > 0 && pairs[2 * i]! < pairs[2 * i - 2]!) sorted = false;
  }
  if (!sorted) order.sort((a, b) => pairs[2 * a]! - pairs[2 * b]!);
  const out = new RunBuilder();
  for (const i of order) out.add(pairs[2 * i]!, pairs[2 * i + 1]!);
  return out.finish();
}

export function totalBytes(runs: Runs): number {
  let total = 0;
  for (let i = 1; i < runs.length; i += 2) total += runs[i]!;
  return total;
}

/** The runs one by one, as [offset, length]. */
export function* eachRun(runs: Runs): Generator<[offset: number, length: number], void, undefined> {
  for (let i = 0; i < runs.length; i += 2) yield [runs[i]!, runs[i + 1]!];
}

export function union(a: Runs, b: Runs): Runs {
  if (a.length === 0) return b;
  if (b.length === 0) return a;
  const out = new RunBuilder();
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (j >= b.length || (i < a.length && a[i]! <= b[j]!)) {
      out.add(a[i]!, a[i + 1]!);
      i += 2;
    } else {
      out.add(b[j]!, b[j + 1]!);
      j += 2;
    }
  }
  return out.finish();
}

/** The bytes in any of them. Merging by halves takes a third of the time of sorting all runs. */
export function unionAll(all: readonly Runs[]): Runs {
  if (all.length <= 1) return all[0] ?? noRuns;
  const half = all.length >> 1;
  return union(unionAll(all.slice(0, half)), unionAll(all.slice(half)));
}

/** The bytes in both; about as many steps as the shorter of the two has runs, times the logarithm of the other's. */
export function intersect(a: Runs, b: Runs): Runs {
  const out = new RunBuilder();
  eachCommon(a, b, (offset, length) => {
    out.add(offset, length);
    return true;
  });
  return out.finish();
}

export function intersects(a: Runs, b: Runs): boolean {
  let found = false;
  eachCommon(a, b, () => {
    found = true;
    return false;
  });
  return found;
}

/** The bytes of `runs` from `from` up to but not including `to`. */
export function clip(runs: Runs, from: number, to: number): Runs {
  return from < to ? intersect(runs, new Float64Array([from, to - from])) : noRuns;
}

/** Whether all of the `length` bytes at `offset` are in `runs`. */
export function contains(runs: Runs, offset: number, length: number): boolean {
  const at = firstEndingAfter(runs, offset, 0);
  return at < runs.length && runs[at]! <= offset && length <= runs[at]! + runs[at + 1]! - offset;
}

/**
 * Why these pairs, from a peer or a file, are not runs within `limitBytes`; null if they are. Runs that touch each
 * other are let pass, since a sender may cut where it likes.
 */
export function checkRuns(pairs: ArrayLike<number>, limitBytes: number): string | null {
  if (pairs.length % 2 !== 0) return "an offset without a length";
  let end = 0;
  for (let i = 0; i < pairs.length; i += 2) {
    const offset = pairs[i]!;
    const length = pairs[i + 1]!;
    const wrong = runFault(offset, length, end, limitBytes);
    if (wrong !== null) return `run ${i / 2} (${length} bytes at ${offset}) ${wrong}`;
    end = offset + length;
  }
  return null;
}

function runFault(offset: number, length: number, end: number, limitBytes: number): string | null {
  if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length)) return "is not in whole bytes";
  if (offset < 0 || length < 0) return "is negative";
  if (length === 0) return "is empty";
  if (offset > limitBytes || length > limitBytes - offset) return `ends after byte ${limitBytes}`;
  return offset < end ? "begins before the end of the one before it" : null;
}

/** Index into `runs` of the first run, from index `from` on, that ends after `offset`; `runs.length` if none does. */
export function firstEndingAfter(runs: Runs, offset: number, from: number): number {
  // Doubling steps first: consecutive look-ups are mostly close to each other.
  let step = 2;
  let low = from;
  let high = from;
  while (high < runs.length && runs[high]! + runs[high + 1]! <= offset) {
    low = high + 2;
    high = Math.min(runs.length, high + step);
    step *= 2;
  }
  while (low < high) {
    const middle = low + 2 * Math.floor((high - low) / 4);
    if (runs[middle]! + runs[middle + 1]! <= offset) low = middle + 2;
    else high = middle;
  }
  return low;
}

/** Visits every common stretch in order, until `visit` returns false. */
export function eachCommon(a: Runs, b: Runs, visit: (offset: number, length: number) => boolean): void {
  let [i, j] = [0, 0];
  while (i < a.length && j < b.length) {
    const aEnd = a[i]! + a[i + 1]!;
    const bEnd = b[j]! + b[j + 1]!;
    const from = Math.max(a[i]!, b[j]!);
    const to = Math.min(aEnd, bEnd);
    if (from < to) {
      if (!visit(from, to - from)) return;
      if (aEnd <= bEnd) i += 2;
      if (bEnd <= aEnd) j += 2;
    } else if (aEnd <= b[j]!) {
      i = firstEndingAfter(a, b[j]!, i);
    } else {
      j = firstEndingAfter(b, a[i]!, j);
    }
  }
}
