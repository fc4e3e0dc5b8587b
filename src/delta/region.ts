import { type ArraySchema, arraySchema, arrayText, type Schema } from "../array/schema.ts";
import { checkBox, shapeText, stridesOf } from "../array/shape.ts";
import { eachSegment, segmentCount, type Strided } from "../array/strided.ts";
import { dtypeBytes } from "../array/dtype.ts";
import { fail } from "../errors.ts";
import { type Runs, unionAll } from "./runs.ts";

/** A box in the index space of one array: `shape` elements along each axis from `start` on. `array` null is the main one. */
export interface Region {
  readonly array: string | null;
  readonly start: readonly number[];
  readonly shape: readonly number[];
}

/**
 * Separate stretches of memory that regions may take up together. A column of a tall array is one stretch an element,
 * so that a few bytes from a peer could otherwise ask for billions of runs.
 */
export const segmentsMax = 2 ** 20;

/** All of an array. */
export function fullRegion(array: ArraySchema): Region {
  return { array: array.name, start: array.shape.map(() => 0), shape: array.shape };
}

/** The array that `region` lies in. INVALID_REGION, with the numbers, if there is none or the box leaves it. */
export function checkRegion(schema: Schema, region: Region): ArraySchema {
  const array = arraySchema(schema, region.array);
  checkBox(array.shape, region.start, region.shape, `region of ${arrayText(array.name)}`);
  return array;
}

/** Bytes of a region that lies within `array`. */
export function regionBytes(array: ArraySchema, region: Region): number {
  return region.shape.reduce((bytes, count) => bytes * count, dtypeBytes(array.dtype));
}

/**
 * The image bytes of a checked region, as few runs as there are stretches: whole inner axes are joined to the next one
 * out. INVALID_REGION if there are more than {@link segmentsMax}; that is known before anything is allocated.
 */
export function regionSegments(array: ArraySchema, region: Region): Runs {
  const bytes = dtypeBytes(array.dtype);
  const box = boxOf(array, region);
  const segments = new Float64Array(2 * checkCount(segmentCount(box), region));
  let at = 0;
  eachSegment(box, (start, count) => {
    segments[at++] = array.offset + start * bytes;
    segments[at++] = count * bytes;
  });
  return segments;
}

/** The image bytes of all `regions` together; each is checked, and so is the number of their segments. INVALID_REGION. */
export function regionRuns(schema: Schema, regions: readonly Region[]): Runs {
  let count = 0;
  const arrays = regions.map((region) => {
    const array = checkRegion(schema, region);
    count = checkCount(count + segmentCount(boxOf(array, region)), region);
    return array;
  });
  return unionAll(regions.map((region, i) => regionSegments(arrays[i]!, region)));
}

/** A region in messages: array, start and shape. */
export function regionText({ array, start, shape }: Region): string {
  return `${shapeText(shape)} from ${shapeText(start)} of ${arrayText(array)}`;
}

function boxOf(array: ArraySchema, region: Region): Strided {
  const strides = stridesOf(array.shape);
  const offset = region.start.reduce((sum, i, axis) => sum + i * strides[axis]!, 0);
  return { shape: region.shape, strides, offset };
}

function checkCount(count: number, region: Region): number {
  if (count <= segmentsMax) return count;
  return fail(
    "INVALID_REGION",
    `${regionText(region)} brings the separate stretches of memory to ${count}, above ${segmentsMax}; take whole rows`,
    { region, count },
  );
}
