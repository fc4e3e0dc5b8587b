/** Waiting times between attempts to connect, ms. */
export interface Backoff {
  /** Bound of the first wait; it doubles from one attempt to the next. */
  readonly minMs: number;
  /** The bound does not grow above this. */
  readonly maxMs: number;
}

/**
 * Two seconds, so that of a thousand followers that lost the same server no more than a tenth come back within any tenth of a
 * second, also if it is there again at once. Who follows alone and minds the wait says less.
 */
export const defaultBackoff: Backoff = Object.freeze({ minMs: 2_000, maxMs: 10_000 });

/** A day. Above 24.8 of them timers run out at once. */
export const waitMsMax = 86_400_000;

/** A refusal is free, and would spin. */
const waitMinMs = 25;

export type BackoffOptions = { readonly [Name in keyof Backoff]?: Backoff[Name] | undefined };

/** What was said, and the defaults for what was not; `minMs` then is no more than `maxMs`. */
export function backoffOf({ minMs, maxMs = defaultBackoff.maxMs }: BackoffOptions = {}): Backoff {
  return { minMs: minMs ?? Math.min(defaultBackoff.minMs, maxMs), maxMs };
}

/**
 * How long to wait before attempt number `failures` + 1: full jitter (M. Brooker, "Exponential Backoff And Jitter", 2015), so that
 * followers that lost the same server do not come back in step: uniform from almost nothing to the bound.
 */
export function backoffMs({ minMs, maxMs }: Backoff, failures: number, random: () => number): number {
  const ceiling = Math.min(maxMs, minMs * 2 ** Math.min(failures, 30));
  const floor = Math.min(minMs / 2, waitMinMs);
  return floor + random() * (ceiling - floor);
}
