import { fail } from "../errors.ts";
import type { Dtype } from "./dtype.ts";

/** How a dtype's elements pass between JavaScript and memory. */
export const NUMBER = 0;
export const BIGINT = 1;
export const BOOLEAN = 2;
export type ScalarKind = typeof NUMBER | typeof BIGINT | typeof BOOLEAN;

export function scalarKind(dtype: Dtype): ScalarKind {
  if (dtype === "bool") return BOOLEAN;
  return dtype === "i64" || dtype === "u64" ? BIGINT : NUMBER;
}

/**
 * What to store for `value`. Numbers go in as into a typed array: integers wrap around, floats are rounded to the
 * nearest. Numbers and bigints are not mixed (INVALID_DTYPE); `bool` takes booleans, and numbers as "not zero".
 */
export function toStored(dtype: Dtype, kind: ScalarKind, value: unknown): number | bigint {
  if (kind === NUMBER ? typeof value === "number" : kind === BIGINT && typeof value === "bigint") {
    return value as number | bigint;
  }
  if (kind === BOOLEAN && (typeof value === "boolean" || typeof value === "number")) {
    return value === false || value === 0 ? 0 : 1;
  }
  return refuseValue(dtype, kind, value);
}

function refuseValue(dtype: Dtype, kind: ScalarKind, value: unknown): never {
  const wanted = kind === BIGINT ? "a bigint, such as 5n" : kind === BOOLEAN ? "true or false" : "a number";
  const given = value === undefined ? "nothing" : `${typeof value} ${textOf(value)}`;
  return fail("INVALID_DTYPE", `an element of dtype ${dtype} is ${wanted}; given was ${given}`, { dtype });
}

function textOf(value: unknown): string {
  if (typeof value === "object" || typeof value === "function" || typeof value === "symbol") return "";
  return String(value).slice(0, 40);
}
