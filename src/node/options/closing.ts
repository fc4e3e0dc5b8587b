import { fail } from "../../errors.ts";
import { nearest } from "./nearest.ts";

export interface CloseOptions {
  /** When followers come back, ms, 0 to 86,400,000, each at a moment of its own: for a server that is only restarted. */
  readonly retryAfterMs?: number;
}

const dayMs = 86_400_000;

/** @throws INVALID_OPTION */
export function checkClose(options: unknown): void {
  if (typeof options !== "object" || options === null || Array.isArray(options))
    fail("INVALID_OPTION", "close(): the options are an object, as { retryAfterMs: 5000 }", { path: [] });
  const { retryAfterMs = 0, ...others } = options as CloseOptions;
  for (const option of Object.keys(others))
    fail("INVALID_OPTION", `close(): there is no option ${option}${nearest(option, ["retryAfterMs"])}`, {
      path: [option],
    });
  if (Number.isInteger(retryAfterMs) && retryAfterMs >= 0 && retryAfterMs <= dayMs) return;
  const text = "close(): option retryAfterMs is a whole number of milliseconds, up to a day";
  fail("INVALID_OPTION", text, { path: ["retryAfterMs"], retryAfterMs });
}
