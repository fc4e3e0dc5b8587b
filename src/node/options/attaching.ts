import { z } from "zod";
import type { Dtype } from "../../array/dtype.ts";
import { arrayText, isSchema, type Schema, schemaDifference } from "../../array/schema.ts";
import { shapeText } from "../../array/shape.ts";
import type { MemblastError } from "../../errors.ts";
import { exactly, inForm, refuseOptions } from "./complaint.ts";
import { sharingOptions } from "./sharing.ts";

const shapeOption = z.array(z.int().min(1)).max(8).optional();
const dtypeOption = z.string().optional();

export const attachOptions = exactly(
  {
    /** "r" never changes anything; "rw" writes: alone while no other process does, or in turn where the segment has many writers. */
    mode: z.enum(["r", "rw"]).default("r"),
    /** What the segment must be; without, whatever it is. */
    writers: z.enum(["one", "many"]).optional(),
    lockTimeoutMs: sharingOptions.lockTimeoutMs,
    /** What the main array must be. What is not said is not compared. */
    shape: shapeOption,
    dtype: dtypeOption,
    /** Arrays that must be there, and what they must be. Others may be there too. */
    arrays: z
      .record(
        z.string(),
        exactly({ shape: shapeOption, dtype: dtypeOption }, "an array is { shape?, dtype? }"),
        inForm("they are { name: { shape?, dtype? } }"),
      )
      .optional(),
    /** The whole schema that it must have: every array in its place, and room for metadata. */
    schema: z.custom<Schema>(isSchema, { error: "a schema is what the `schema` of a node gives" }).optional(),
    unsafeFilesystem: sharingOptions.unsafeFilesystem,
    onUpdate: z.function().optional(),
    onError: z.function().optional(),
  },
  'they are an object, as { mode: "rw" }',
);

type Parsed = z.output<typeof attachOptions>;

/** What {@link attach} takes, as its caller writes it. */
export type AttachOptions<OnUpdate> = Readonly<
  Omit<z.input<typeof attachOptions>, "onUpdate" | "onError" | "shape" | "dtype" | "arrays">
> & {
  readonly shape?: readonly number[] | undefined;
  readonly dtype?: Dtype | undefined;
  readonly arrays?: Readonly<Record<string, Expected>> | undefined;
  /** After each version that another process made. */
  readonly onUpdate?: OnUpdate | undefined;
  /** The same as `node.on("error", ...)`, from the first moment. */
  readonly onError?: ((error: MemblastError) => void) | undefined;
};

/** What an array must be; what is not said is not compared. */
interface Expected {
  readonly shape?: readonly number[] | undefined;
  readonly dtype?: Dtype | undefined;
}

/** Says in words how a segment's schema is not the one wanted; null where it is. */
export type SchemaCheck = (actual: Schema) => string | null;

export interface AttachConfig extends Pick<
  Parsed,
  "mode" | "writers" | "lockTimeoutMs" | "unsafeFilesystem"
> {
  readonly check: SchemaCheck;
}

/** INVALID_OPTION names the option and what it should be. */
export function parseAttachOptions(given: unknown): AttachConfig {
  const parsed = attachOptions.safeParse(given ?? {});
  if (!parsed.success) return refuseOptions("attach()", parsed.error);
  const { mode, writers, lockTimeoutMs, unsafeFilesystem } = parsed.data;
  const check = (actual: Schema) => difference(parsed.data, actual);
  return { mode, writers, lockTimeoutMs, unsafeFilesystem, check };
}

/** In words, the first way in which `actual` is not what was asked for; null if it is. */
function difference({ schema, shape, dtype, arrays }: Parsed, actual: Schema): string | null {
  const main = shape || dtype ? arrayDifference(null, { shape, dtype }, actual) : null;
  if (main) return main;
  for (const [name, array] of Object.entries(arrays ?? {})) {
    const named = arrayDifference(name, array, actual);
    if (named) return named;
  }
  return schema ? schemaDifference(schema, actual) : null;
}

function arrayDifference(
  name: string | null,
  { shape, dtype }: { shape?: number[] | undefined; dtype?: string | undefined },
  actual: Schema,
): string | null {
  const array = actual.arrays.find((each) => each.name === name);
  if (!array) return `${arrayText(name)} is missing`;
  if (dtype && dtype !== array.dtype)
    return `${arrayText(name)}: dtype ${dtype} expected, ${array.dtype} found`;
  if (shape && `${shape}` !== `${array.shape}`)
    return `${arrayText(name)}: shape ${shapeText(shape)} expected, ${shapeText(array.shape)} found`;
  return null;
}
