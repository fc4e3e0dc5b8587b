import * as z from "zod/mini"; // the same package as "zod", a quarter of its size in a browser bundle
import { fail, MemblastError } from "../errors.ts";
import { isCompanion } from "./companion.ts";
import { checkDtype, type Dtype, dtypeBytes, dtypes } from "./dtype.ts";
import { checkShape, dimensionMax, dimensionsMax, sameShape, shapeText, sizeOf } from "./shape.ts";

/** Where one array stands. `name` is null for the main array; `offset` and `bytes` count within the image. */
export interface ArraySchema {
  readonly name: string | null;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly offset: number;
  readonly bytes: number;
}

/**
 * What a segment holds and where: the arrays in the order in which they were given, then the metadata record of
 * `metaBytesMax` bytes (its 8-byte head included). Each begins on a block of its own: at a multiple of 64 bytes up to an
 * image of 64 MiB, of 128 up to 128 MiB, and so on, so that none changes with its neighbour. `imageBytes` is a multiple of 64.
 */
export interface Schema {
  readonly arrays: readonly ArraySchema[];
  readonly metaOffset: number;
  readonly metaBytesMax: number;
  readonly imageBytes: number;
}

export interface ArraySpec {
  readonly name: string | null;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
}

export const arraysMax = 4096;
export const arrayBytesMax = 2 ** 32;
export const imageBytesMax = 2 ** 48;
export const metaBytesMin = 8;
export const metaBytesLimit = 16 * 2 ** 20;
/** Longest name of an array, and of anything else that travels: what could not be asked for by its name is not to be had. */
export const nameCharactersMax = 128;
/** Longest JSON text of a schema that is looked at; 4,096 arrays with the longest names and shapes fit. */
export const schemaTextMax = 2 * 2 ** 20;

/** Changes are known by blocks: the smallest one, and how many of them an image has at most before they become larger. */
const blockBytesMin = 64;
const blocksMax = 2 ** 20;
const namePattern = new RegExp(
  `^([A-Za-z0-9_.:-]{1,${nameCharactersMax}}|[A-Za-z0-9_.:-]{0,120}@stamps|@meta)$`,
);

/**
 * Lays out the arrays. Throws INVALID_NAME, INVALID_DTYPE, INVALID_SHAPE, INVALID_OPTION (too many arrays,
 * `metaBytesMax` outside 8 to 16 Mi) or TOO_LARGE (an array above 4 GiB, an image above 2^48 bytes).
 */
export function makeSchema(specs: readonly ArraySpec[], metaBytesMax = 4096): Schema {
  if (specs.length > arraysMax) {
    fail("INVALID_OPTION", `a segment has at most ${arraysMax} arrays, not ${specs.length}`);
  }
  if (!Number.isInteger(metaBytesMax) || metaBytesMax < metaBytesMin || metaBytesMax > metaBytesLimit) {
    const range = `from ${metaBytesMin} to ${metaBytesLimit}`;
    fail("INVALID_OPTION", `metaBytesMax is a whole number ${range}, not ${String(metaBytesMax)}`);
  }
  let blockBytes = blockBytesMin;
  let schema = layOut(specs, metaBytesMax, blockBytes);
  while (schema.imageBytes > blockBytes * blocksMax) schema = layOut(specs, metaBytesMax, (blockBytes *= 2));
  return schema;
}

function layOut(specs: readonly ArraySpec[], metaBytesMax: number, blockBytes: number): Schema {
  const names = new Set<string | null>();
  let end = 0;
  const arrays = specs.map((spec) => {
    const array = place(spec, align(end, blockBytes));
    if (names.has(array.name))
      fail("INVALID_NAME", `there are two arrays of the name ${arrayText(array.name)}`);
    names.add(array.name);
    end = array.offset + array.bytes;
    return array;
  });
  const metaOffset = align(end, blockBytes);
  const imageBytes = align(metaOffset + metaBytesMax, blockBytesMin);
  if (imageBytes > imageBytesMax) {
    fail("TOO_LARGE", `all arrays together take ${imageBytes} bytes; at most ${imageBytesMax} are possible`);
  }
  return Object.freeze({ arrays: Object.freeze(arrays), metaOffset, metaBytesMax, imageBytes });
}

/** The canonical text: no spaces, keys in a fixed order, so that equal schemas have equal texts. */
export function schemaToJson(schema: Schema): string {
  const arrays = schema.arrays.map(({ name, dtype, shape, offset, bytes }) => ({
    name,
    dtype,
    shape,
    offset,
    bytes,
  }));
  const { metaOffset, metaBytesMax, imageBytes } = schema;
  return JSON.stringify({ arrays, metaOffset, metaBytesMax, imageBytes });
}

const arrayJson = z.strictObject({
  name: z.nullable(z.string().check(z.regex(namePattern))),
  dtype: z.enum(dtypes),
  shape: z.array(z.int().check(z.minimum(1), z.maximum(dimensionMax))).check(z.maxLength(dimensionsMax)),
  offset: z.int().check(z.minimum(0)),
  bytes: z.int().check(z.minimum(1)),
});

const schemaJson = z.strictObject({
  arrays: z.array(arrayJson).check(z.maxLength(arraysMax)),
  metaOffset: z.int().check(z.minimum(0)),
  metaBytesMax: z.int(),
  imageBytes: z.int(),
});

/** Whether it has the parts of a schema; not whether they fit each other. */
export function isSchema(value: unknown): value is Schema {
  return schemaJson.safeParse(value).success;
}

/** Reads a schema from a file or a peer; believes nothing: limits are checked and the layout is computed anew. FORMAT. */
export function schemaFromJson(text: string): Schema {
  if (text.length > schemaTextMax)
    fail("FORMAT", `the schema is ${text.length} characters long, at most ${schemaTextMax}`);
  const parsed = schemaJson.safeParse(parse(text));
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    fail("FORMAT", `the schema is wrong at "${issue.path.join(".")}": ${issue.message}`);
  }
  const { arrays, metaBytesMax } = parsed.data;
  const made = relaid(arrays, metaBytesMax);
  const difference = schemaDifference(made, parsed.data);
  if (difference === null) return made;
  // Before images above 64 MiB were laid out by their larger blocks: there may be files of that time.
  const dense = layOut(arrays, metaBytesMax, blockBytesMin);
  if (schemaDifference(dense, parsed.data) === null) return dense;
  return fail("FORMAT", `the schema's layout is not the one its arrays have: ${difference}`);
}

/** The same for what they hold, wherever it lies. */
export function contentDifference(expected: Schema, actual: Schema): string | null {
  const dense = layOut(expected.arrays, expected.metaBytesMax, blockBytesMin);
  const difference = schemaDifference(expected, actual);
  return difference !== null && schemaDifference(dense, actual) === null ? null : difference;
}

/** In words, the first way in which `actual` is not what was `expected`; null if they are the same. */
export function schemaDifference(expected: Schema, actual: Schema): string | null {
  for (const array of expected.arrays) {
    const other = actual.arrays.find((candidate) => candidate.name === array.name);
    if (other === undefined)
      return isCompanion(array.name)
        ? "it was made without mesh: true"
        : `${arrayText(array.name)} is missing`;
    const difference = arrayDifference(array, other);
    if (difference !== null) return `${arrayText(array.name)}: ${difference}`;
  }
  const extra = actual.arrays[expected.arrays.length];
  if (extra !== undefined)
    return isCompanion(extra.name)
      ? "it was made with mesh: true"
      : `${arrayText(extra.name)} was not expected`;
  for (const field of ["metaOffset", "metaBytesMax", "imageBytes"] as const) {
    if (expected[field] !== actual[field])
      return `${field} ${expected[field]} expected, ${actual[field]} found`;
  }
  return null;
}

const indexes = new WeakMap<Schema, Map<string | null, ArraySchema>>();

/** The array of that name (null: the main one), or INVALID_REGION. */
export function arraySchema(schema: Schema, name: string | null): ArraySchema {
  let index = indexes.get(schema);
  if (index === undefined) {
    index = new Map(schema.arrays.map((array) => [array.name, array]));
    indexes.set(schema, index);
  }
  const found = index.get(name);
  if (found !== undefined) return found;
  const known = schema.arrays.slice(0, 10).map((array) => arrayText(array.name));
  if (schema.arrays.length > known.length) known.push("...");
  return fail("INVALID_REGION", `no ${arrayText(name)} here; there is ${known.join(", ") || "nothing"}`, {
    name,
  });
}

/** How an array is called in messages. */
export function arrayText(name: string | null): string {
  return name === null ? "the main array" : `array "${String(name).slice(0, 255)}"`;
}

function place({ name, dtype, shape }: ArraySpec, offset: number): ArraySchema {
  if (name !== null && (typeof name !== "string" || !namePattern.test(name))) {
    fail(
      "INVALID_NAME",
      `an array's name is 1 to ${nameCharactersMax} letters, digits and _ . : - , not ${JSON.stringify(name)}`,
    );
  }
  checkDtype(dtype);
  checkShape(shape);
  const bytes = sizeOf(shape) * dtypeBytes(dtype);
  if (bytes > arrayBytesMax) {
    fail(
      "TOO_LARGE",
      `${arrayText(name)} takes ${bytes} bytes; one array has at most ${arrayBytesMax} (4 GiB)`,
    );
  }
  return Object.freeze({ name, dtype, shape: Object.freeze(shape.slice()), offset, bytes });
}

function arrayDifference(expected: ArraySchema, actual: ArraySchema): string | null {
  if (expected.dtype !== actual.dtype) return `dtype ${expected.dtype} expected, ${actual.dtype} found`;
  if (!sameShape(expected.shape, actual.shape)) {
    return `shape ${shapeText(expected.shape)} expected, ${shapeText(actual.shape)} found`;
  }
  for (const field of ["offset", "bytes"] as const) {
    if (expected[field] !== actual[field])
      return `${field} ${expected[field]} expected, ${actual[field]} found`;
  }
  return null;
}

function relaid(specs: readonly ArraySpec[], metaBytesMax: number): Schema {
  try {
    return makeSchema(specs, metaBytesMax);
  } catch (error) {
    if (error instanceof MemblastError) fail("FORMAT", `the schema is wrong: ${error.message}`, {}, error);
    throw error;
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    return fail("FORMAT", "the schema is not JSON", {}, error);
  }
}

function align(bytes: number, to: number): number {
  return Math.ceil(bytes / to) * to;
}
