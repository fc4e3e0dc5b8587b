/** When to ask again. Pure. */

const longestMs = 15 * 60_000;
/** A server that wants more patience than this is asked anyway. */
const patienceMs = 60 * 60_000;

/**
 * Milliseconds until the next poll: the interval, after `failures` failed ones in a row twice as much for each, up to a quarter of
 * an hour (or the interval, where that is longer); never less than what the server asked for.
 */
export function waitFor(intervalMs: number, failures: number, askedMs = 0): number {
  const backedOff = Math.min(intervalMs * 2 ** Math.min(failures, 30), Math.max(longestMs, intervalMs));
  return Math.max(backedOff, Math.min(askedMs, patienceMs));
}
