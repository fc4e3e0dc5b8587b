import { isCompanion } from "../array/companion.ts";
import { arraySchema, arrayText, makeSchema, type ArraySpec, type Schema } from "../array/schema.ts";
import { shapeText } from "../array/shape.ts";
import type { MappingLink } from "../delta/mapping.ts";
import { checkRegion, fullRegion, type Region } from "../delta/region.ts";
import { fail } from "../errors.ts";
import { fits, isText } from "./checks.ts";

/** A box of one of the node's arrays, as a caller asks for it. */
export interface RegionOption {
  /** Array of the node; null or absent is its main one. */
  readonly array?: string | null | undefined;
  /** First element along each axis; absent: 0 everywhere. */
  readonly start?: readonly number[] | undefined;
  /** Elements along each axis; absent: all from `start` on. */
  readonly shape?: readonly number[] | undefined;
  /** What the box is called here, where it is an array of its own; absent: as the node's array. */
  readonly as?: string | null | undefined;
}

/** Regions as they are, or chosen once it is known what the node has; null: all its arrays, but not the stamps that a mesh has beside them. */
export type Regions = readonly RegionOption[] | ((schema: Schema) => readonly RegionOption[]) | null;

/** What is followed, and the arrays in which it lands. */
export interface Plan {
  readonly local: Schema;
  readonly links: readonly MappingLink[];
}

/** Every region as an array of its own; without regions, all arrays of the node. INVALID_REGION, INVALID_NAME. */
export function planOf(source: Schema, regions: Regions): Plan {
  const asked = typeof regions === "function" ? choose(regions, source) : regions;
  const chosen: readonly RegionOption[] = asked ?? ownArrays(source).map((name) => ({ array: name }));
  if (chosen.length === 0) fail("INVALID_REGION", "There is nothing to follow: name at least one region");
  const named = chosen.map((option) => ({ source: regionOf(source, option), name: nameOf(option) }));
  const specs = named.map(({ source: { array, shape }, name }): ArraySpec => ({
    name,
    dtype: arraySchema(source, array).dtype,
    shape,
  }));
  const links = named.map(({ source: region, name }) => ({
    source: region,
    target: { array: name, start: region.shape.map(() => 0), shape: region.shape },
  }));
  // The metadata is kept beside the image.
  return { local: makeSchema(specs, 8), links };
}

function choose(
  regions: Exclude<Regions, readonly unknown[] | null>,
  source: Schema,
): readonly RegionOption[] {
  let chosen: unknown;
  try {
    chosen = regions(source);
  } catch (error) {
    return fail("INVALID_REGION", `The function that chooses regions threw: ${String(error)}`, {}, error);
  }
  if (isRegionList(chosen)) return chosen;
  return fail(
    "INVALID_REGION",
    "The function that chooses regions gives a list of { array?, start?, shape?, as? }, whole numbers from 0 in start and shape, at once",
  );
}

/** The arrays that the node's users gave it. */
function ownArrays({ arrays }: Schema): (string | null)[] {
  return arrays.map(({ name }) => name).filter((name) => !isCompanion(name));
}

function nameOf({ array = null, as = array }: RegionOption): string | null {
  return as;
}

function regionOf(schema: Schema, { array = null, start, shape }: RegionOption): Region {
  const full = fullRegion(arraySchema(schema, array));
  const from = start ?? full.start;
  if (from.length !== full.shape.length)
    fail("INVALID_REGION", `${arrayText(array)} has ${shapeText(full.shape)}: start needs as many numbers`);
  const region = { array, start: from, shape: shape ?? full.shape.map((count, axis) => count - from[axis]!) };
  checkRegion(schema, region);
  return region;
}

const isIndices = (value: unknown) =>
  value === undefined ||
  (Array.isArray(value) && value.every((each) => Number.isSafeInteger(each) && each >= 0));
const isArrayName = (value: unknown) => value === undefined || value === null || isText(value);

const regionShape = { array: isArrayName, start: isIndices, shape: isIndices, as: isArrayName };

/** Whether each is written like a region; not whether there are such. */
export function isRegionList(value: unknown): value is readonly RegionOption[] {
  return Array.isArray(value) && value.every((each) => fits(each, regionShape));
}
