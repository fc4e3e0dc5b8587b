import { fail } from "../../errors.ts";

export interface CloseOptions {
  /** When followers come back, ms, 0 to 86,400,000, each at a moment of its own: for a server that is only restarted. */
  readonly retryAfterMs?: number;
}

const dayMs = 86_400_000;

/** @throws INVALID_OPTION */
export function checkClose({ retryAfterMs = 0 }: CloseOptions): void {
  if (Number.isInteger(retryAfterMs) && retryAfterMs >= 0 && retryAfterMs <= dayMs) return;
  fail("INVALID_OPTION", "close(): retryAfterMs is a whole number of milliseconds, up to a day", {
    retryAfterMs,
  });
}
