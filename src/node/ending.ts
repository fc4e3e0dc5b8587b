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

/**
 * `server` is the address that was dialled. An end before the server has told what it has is an attempt that failed, whatever was said;
 * `cutBy`: why the link broke, where the system said so.
 */
export function endingOf(cause: CloseCause, server: string, isWelcome: boolean, cutBy: Error | null): Ending {
  if (cause.kind !== "fault") {
    const afterMs = cause.kind === "bye" ? (cause.retryAfterMs ?? 0) : 0;
    return { kind: "retry", afterMs, error: isWelcome ? null : unwelcome(server, causeText(cause, cutBy)) };
  }
  const { code, message } = cause.fault;
  const details = { reason: code };
  if (permanentFaults.has(code))
    return { kind: "giveUp", error: new MemblastError("REFUSED", `${server}: ${message}`, details) };
  const text = `${server}: ${causeText(cause)}`;
  const error = new MemblastError(code === "NAME_TAKEN" ? "REFUSED" : "PROTOCOL", text, details);
  return { kind: "retry", afterMs: 0, error };
}

function unwelcome(server: string, why: string): MemblastError {
  const text = `No connection to ${server}: it ended before that node said what it has (${why.replace(/\.$/, "")}); it may have too many links.`;
  return new MemblastError("CONNECT_FAILED", text, { address: server, reason: "closed" });
}
