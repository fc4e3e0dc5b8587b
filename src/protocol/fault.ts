/**
 * Why a link or a subscription ends. The code travels in ERROR frames, so that both sides know the reason;
 * WIRE.md says what each one means. Peer bytes never assert: everything a peer can do wrong becomes one of these.
 */
export const faultCodes = [
  "BAD_HEADER", // not a frame header: wrong checksum or reserved bits set
  "BAD_CHECKSUM", // the payload is not what was sent, or its padding is not zero
  "TOO_LONG", // a payload above the limit that holds at this moment
  "BAD_MESSAGE", // a payload that breaks its format
  "UNKNOWN_FRAME", // a frame type this side does not know and may not skip
  "UNEXPECTED", // a well-formed message at a moment at which it makes no sense
  "VERSION", // another major version of the protocol
  "AUTH", // no proof, a wrong one, or a method this side does not have
  "NAME_TAKEN", // another node goes by this name
  "REGION", // regions that do not fit the schema, or bytes outside what was asked for
  "FORBIDDEN", // a known peer without the right to what it asked for
  "LIMIT", // more of something than this side gives now
  "UNSUPPORTED", // legal, but not offered here, or more at once than is ever given
  "STALE_DELTA", // a delta that does not start from what the follower has
  "MISMATCH", // the bytes still differ after a repair and after a full delta
  "TIMEOUT", // the handshake took too long, or the peer fell silent
  "INTERNAL", // the side that says it has a problem of its own
  "REMOTE", // the peer named a code this version does not know; the text has it
] as const;

export type FaultCode = (typeof faultCodes)[number];

/**
 * Codes after which the same attempt will fail in the same way: reconnecting without a change is of no use. NAME_TAKEN is none: a
 * node that was restarted may find the link of its former life still there, until that has missed its heartbeats.
 */
export const permanentFaults: ReadonlySet<FaultCode> = new Set<FaultCode>([
  "VERSION",
  "AUTH",
  "REGION",
  "FORBIDDEN",
  "UNSUPPORTED",
]);

/** What a peer did wrong, or says we did. Thrown by the decoders, returned by the framer, carried in close actions. */
export class ProtocolFault extends Error {
  override readonly name = "ProtocolFault";
  readonly code: FaultCode;

  constructor(code: FaultCode, text: string) {
    super(text);
    this.code = code;
  }
}

/** Throws a {@link ProtocolFault}; an expression, so that it can stand where a value is missing. */
export function refuse(code: FaultCode, text: string): never {
  throw new ProtocolFault(code, text);
}
