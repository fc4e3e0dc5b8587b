import { MemblastError } from "../errors.ts";
import { permanentFaults } from "../protocol/fault.ts";
import type { CloseCause } from "../protocol/session.ts";
import { causeText } from "./conversation.ts";

/** What a follower makes of the end of a link. */
export type Ending =
  /** It tries again, after `afterMs` and a random wait on top. `error` is null where the end was in good order, or a plain cut. */
  | { readonly kind: "retry"; readonly afterMs: number; readonly error: MemblastError | null }
  /** The same attempt would end in the same way. */
  | { readonly kind: "giveUp"; readonly error: MemblastError };

/** `server` is the address that was dialled. */
export function endingOf(cause: CloseCause, server: string): Ending {
  if (cause.kind === "bye") return { kind: "retry", afterMs: cause.retryAfterMs ?? 0, error: null };
  if (cause.kind === "cut") return { kind: "retry", afterMs: 0, error: null };
  const { code, message } = cause.fault;
  const details = { reason: code };
  if (permanentFaults.has(code))
    return { kind: "giveUp", error: new MemblastError("REFUSED", `${server}: ${message}`, details) };
  const text = `${server}: ${causeText(cause)}`;
  const error = new MemblastError(code === "NAME_TAKEN" ? "REFUSED" : "PROTOCOL", text, details);
  return { kind: "retry", afterMs: 0, error };
}
