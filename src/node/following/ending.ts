import { MemblastError } from "../../errors.ts";
import { permanentFaults } from "../../protocol/fault.ts";
import type { CloseCause } from "../../protocol/session.ts";
import { type Address, parseAddress } from "../../transport/address.ts";
import { whyClosed } from "../../transport/failure.ts";
import { causeText } from "../runtime/conversation.ts";

/** What a browser says of a WebSocket that ended without a Close frame. */
const cutCode = 1006;

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
    return { kind: "retry", afterMs, error: isWelcome ? null : unwelcome(server, cause, cutBy) };
  }
  const { code, message } = cause.fault;
  const details = { reason: code };
  if (permanentFaults.has(code))
    return { kind: "giveUp", error: new MemblastError("REFUSED", `${server}: ${message}`, details) };
  const text = `${server}: ${causeText(cause)}`;
  const error = new MemblastError(code === "NAME_TAKEN" ? "REFUSED" : "PROTOCOL", text, details);
  return { kind: "retry", afterMs: 0, error };
}

function unwelcome(server: string, cause: CloseCause, cutBy: Error | null): MemblastError {
  const why = causeText(cause, cutBy).replace(/\.$/, "");
  const text = `No connection to ${server}: it ended before that node said what it has (${why})`;
  const guess = cause.kind === "cut" ? guessOf(parseAddress(server), cutBy) : ".";
  return new MemblastError("CONNECT_FAILED", text + guess, { address: server, reason: "closed" });
}

/** What is likely where the link was cut. */
function guessOf(address: Address, cutBy: Error | null): string {
  const closeCode = cutBy instanceof MemblastError ? cutBy.details["closeCode"] : undefined;
  if (closeCode !== undefined && closeCode !== cutCode) return ": is a memblast node there?";
  if (address.kind === "tcp" || address.kind === "unix") return `: ${whyClosed(address)}.`;
  return ": it may have too many links, or be no memblast node.";
}
