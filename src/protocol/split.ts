import { partFixedBytes } from "./part.ts";
import { partBytesMin, payloadBytesMax } from "./limits.ts";

const runBytes = 16;
/** A run is not cut for less than this: its description would weigh more than it is worth. */
const cutBytesMin = 4_096;
/** Cuts fall on blocks, so that copies stay aligned. */
const cutBytes = 64;

/**
 * Cuts the runs of one delta into those of its parts, so that each part fits a frame and all but the last are nearly
 * full. Always yields at least once (a delta may have no runs). What it yields is the caller's; runs that need no cut
 * are views of `runs`.
 *
 * @param runs [offset, bytes] pairs, ascending and disjoint
 * @param headBytes what the head takes in the first part: `headBytesOf(meta, root)`
 * @param partBytes payload of a part, 65,536 to 262,144: smaller ones let other frames pass sooner
 */
export function* splitRuns(
  runs: Float64Array,
  headBytes: number,
  partBytes = payloadBytesMax,
): Generator<Float64Array, void, undefined> {
  const roomMax = Math.min(payloadBytesMax, Math.max(partBytes, 2 * partBytesMin)) - partFixedBytes;
  // Metadata may take more than a small part: then the first one is longer.
  let room = Math.max(roomMax - headBytes, runBytes + cutBytesMin);
  let start = 0; // first pair of this part
  let done = 0; // bytes of that pair that earlier parts have
  for (let at = 0; at < runs.length;) {
    const rest = runs[at + 1]! - (at === start ? done : 0);
    if (runBytes + rest <= room) {
      room -= runBytes + rest;
      at += 2;
      continue;
    }
    const fits = Math.floor((room - runBytes) / cutBytes) * cutBytes;
    const cut = fits >= cutBytesMin ? fits : 0;
    yield pairs(runs, start, at, done, cut);
    done = cut > 0 ? cut + (at === start ? done : 0) : 0;
    start = at;
    room = roomMax;
  }
  yield pairs(runs, start, runs.length, done, 0);
}

/** Pairs [start, end), less `done` bytes at the front, plus the first `cut` bytes of the pair at `end`. */
function pairs(runs: Float64Array, start: number, end: number, done: number, cut: number): Float64Array {
  if (done === 0 && cut === 0) return runs.subarray(start, end);
  const taken = runs.slice(start, cut > 0 ? end + 2 : end);
  if (cut > 0) taken[taken.length - 1] = cut + (start === end ? done : 0);
  if (done > 0) {
    taken[0]! += done;
    taken[1]! -= done;
  }
  return taken;
}

/** Data bytes of some runs. */
export function bytesOfRuns(runs: Float64Array): number {
  let bytes = 0;
  for (let index = 1; index < runs.length; index += 2) bytes += runs[index]!;
  return bytes;
}
