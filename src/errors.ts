/**
 * Every way in which memblast says no. The code is for programs, the message tells a person what to do;
 * docs/errors.md has a heading for each.
 */
export const errorCodes = [
  // what the caller passed
  "INVALID_OPTION",
  "INVALID_SHAPE",
  "INVALID_DTYPE",
  "INVALID_INDEX",
  "INVALID_REGION",
  "INVALID_META",
  "INVALID_NAME",
  "INVALID_ADDRESS",
  // when it was called
  "CLOSED",
  "READ_ONLY",
  "NOT_IN_WRITE",
  "NESTED_WRITE",
  "ASYNC_CALLBACK",
  "VIEW_EXPIRED",
  "FOLLOWED",
  // memory and files
  "LIBRARY",
  "EXISTS",
  "NOT_FOUND",
  "LOCKED",
  "STALE",
  "SCHEMA_MISMATCH",
  "FORMAT",
  "UNSAFE_FILE",
  "NO_SPACE",
  "TOO_LARGE",
  "TRUNCATED",
  "SYSTEM",
  // network
  "ADDRESS_IN_USE",
  "CONNECT_FAILED",
  "LINK_CLOSED",
  "PROTOCOL",
  "REFUSED",
  "MISMATCH",
  "CLOCK_AHEAD",
] as const;

export type ErrorCode = (typeof errorCodes)[number];

/** The one error class of the package: a stable `code`, a sentence that says what to do, and the facts in `details`. */
export class MemblastError extends Error {
  override readonly name = "MemblastError";
  readonly code: ErrorCode;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, details: Record<string, unknown> = {}, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.details = details;
  }
}

/** Throws a {@link MemblastError}; an expression, so that it can stand where a value is missing. */
export function fail(
  code: ErrorCode,
  message: string,
  details?: Record<string, unknown>,
  cause?: unknown,
): never {
  throw new MemblastError(code, message, details, cause);
}
