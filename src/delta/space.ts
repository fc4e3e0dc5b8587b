import { firstEndingAfter, RunBuilder, type Runs } from "./runs.ts";

/**
 * The bytes of a subscription, laid end to end in the order of the source image. Both sides of a link build it from the
 * same runs, so a position in it means the same byte to both, wherever the follower keeps it.
 */
export class SubscribedSpace {
  readonly runs: Runs;
  /** Bytes in all. */
  readonly size: number;
  /** The position at which each run begins. */
  private readonly positions: Float64Array;

  constructor(runs: Runs) {
    this.runs = runs;
    this.positions = new Float64Array(runs.length / 2);
    let size = 0;
    for (let i = 0; i < this.positions.length; i++) {
      this.positions[i] = size;
      size += runs[2 * i + 1]!;
    }
    this.size = size;
  }

  /** The position of the byte at `offset` of the source image; -1 if it is not subscribed. */
  positionOf(offset: number): number {
    const at = firstEndingAfter(this.runs, offset, 0);
    if (at === this.runs.length || this.runs[at]! > offset) return -1;
    return this.positions[at / 2]! + offset - this.runs[at]!;
  }

  /** The offset in the source image of the byte at `position`, which is 0 or more and below `size`. */
  offsetOf(position: number): number {
    const i = lastAtMost(this.positions, position);
    return this.runs[2 * i]! + position - this.positions[i]!;
  }

  /** The source image bytes at the positions from `from` up to but not including `to`. */
  imageRuns(from: number, to: number): Runs {
    const out = new RunBuilder();
    for (let position = from, i = lastAtMost(this.positions, from); position < to; i++) {
      const skip = position - this.positions[i]!;
      const length = Math.min(this.runs[2 * i + 1]! - skip, to - position);
      out.add(this.runs[2 * i]! + skip, length);
      position += length;
    }
    return out.finish();
  }

  /** Where the subscribed ones among the bytes of `imageRuns` stand, as runs of positions. */
  positionRuns(imageRuns: Runs): Runs {
    const out = new RunBuilder();
    this.eachPosition(imageRuns, (position, length) => out.add(position, length));
    return out.finish();
  }

  /** The leaves of `leafBytes` that hold any of the bytes of `imageRuns`: pairs of first leaf and count, sorted, joined. */
  leaves(imageRuns: Runs, leafBytes: number): Runs {
    const out = new RunBuilder();
    this.eachPosition(imageRuns, (position, length) => {
      const first = Math.floor(position / leafBytes);
      out.add(first, Math.floor((position + length - 1) / leafBytes) + 1 - first);
    });
    return out.finish();
  }

  private eachPosition(imageRuns: Runs, visit: (position: number, length: number) => void): void {
    const { runs, positions } = this;
    let at = 0;
    for (let i = 0; i < imageRuns.length; i += 2) {
      const offset = imageRuns[i]!;
      const end = offset + imageRuns[i + 1]!;
      at = firstEndingAfter(runs, offset, at);
      for (let k = at; k < runs.length && runs[k]! < end; k += 2) {
        const from = Math.max(offset, runs[k]!);
        visit(positions[k / 2]! + from - runs[k]!, Math.min(end, runs[k]! + runs[k + 1]!) - from);
      }
    }
  }
}

/** Index of the last of the ascending `starts` that is at most `value`; -1 if none is. */
export function lastAtMost(starts: Float64Array, value: number): number {
  let low = 0;
  let high = starts.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (starts[middle]! <= value) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
