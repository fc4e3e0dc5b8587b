import { MemblastError } from "../../src/errors.ts";

/** The MemblastError that `action` throws; anything else, and nothing, is a failure. */
export function errorOf(action: () => unknown): MemblastError {
  try {
    action();
  } catch (error) {
    if (error instanceof MemblastError) return error;
    throw error;
  }
  throw new Error("no error was thrown");
}

/** Its code; "none" where nothing is thrown. */
export function codeOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (error instanceof MemblastError) return error.code;
    throw error;
  }
  return "none";
}
