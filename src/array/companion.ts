import { fail } from "../errors.ts";
import type { ArraySpec, Schema } from "./schema.ts";

/** Longest name of an array that still has a companion, whose own name may have 128 characters. */
const nameCharactersMax = 120;
const suffix = "@stamps";

/** The array of one element that says when the metadata were written. */
export const metaStamps = "@meta";

/** The name of the array of stamps beside an array: `u64`, of the same shape. Users cannot give such a name. */
export function stampsOf(name: string | null): string {
  return `${name ?? ""}${suffix}`;
}

/** Whether this is an array that the library keeps beside those of its users. */
export function isCompanion(name: string | null): boolean {
  return name !== null && (name === metaStamps || name.endsWith(suffix));
}

/** Whether the elements of these arrays say when they were written: a mesh. */
export function isStamped(schema: Schema): boolean {
  return schema.arrays.some((array) => array.name === metaStamps);
}

/** The arrays, and behind them a companion for each of them and for the metadata. */
export function withCompanions(specs: readonly ArraySpec[]): ArraySpec[] {
  const own = specs.filter((spec) => !isCompanion(spec.name));
  const companions = own.map(({ name, shape }): ArraySpec => {
    if (name !== null && name.length > nameCharactersMax)
      fail("INVALID_NAME", `start(): in a mesh an array's name has at most ${nameCharactersMax} characters`, {
        name,
      });
    return { name: stampsOf(name), dtype: "u64", shape };
  });
  return [...own, ...companions, { name: metaStamps, dtype: "u64", shape: [1] }];
}
