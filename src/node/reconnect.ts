/** Waiting times between attempts to connect, ms. */
export interface Backoff {
  readonly minMs: number;
  readonly maxMs: number;
}

export const defaultBackoff: Backoff = Object.freeze({ minMs: 50, maxMs: 10_000 });

/**
 * How long to wait before attempt number `failures` + 1: full jitter (M. Brooker, "Exponential Backoff And Jitter", 2015), so that
 * followers that lost the same server do not come back in step. Never less than half of `minMs`: a refusal is free, and would spin.
 */
export function backoffMs(backoff: Backoff, failures: number, random: () => number): number {
  const ceiling = Math.min(backoff.maxMs, backoff.minMs * 2 ** Math.min(failures, 30));
  return Math.max(backoff.minMs / 2, random() * ceiling);
}
