import type { Schema } from "../../array/schema.ts";
import type { DamagedBlocks, DamagedPart, Inspection } from "../../memory/verification.ts";

/** A stretch of a segment that changed without a commit. */
export interface Damage {
  /**
   * Which part of the segment it is. In the header, the state words and the redo page, `offset` and `bytes` count from the start of
   * that part; in the others from the start of the image.
   */
  readonly part: DamagedPart;
  /** The array whose bytes they are, null for the main one; undefined for metadata and padding, and outside of the images. */
  readonly array: string | null | undefined;
  readonly offset: number;
  /** Whole blocks (64 bytes and more), as far as they belong to this array. */
  readonly bytes: number;
}

/** What `verify()` found. */
export interface Verification {
  /** The version that was looked at. */
  readonly version: number;
  /** There was nothing earlier to compare with; see Node.verify. */
  readonly isFirst: boolean;
  readonly damage: readonly Damage[];
}

export function verification({ version, isFirst, damage }: Inspection, schema: Schema): Verification {
  return { version, isFirst, damage: damage.flatMap((blocks) => byArray(blocks, schema)) };
}

const imageParts: ReadonlySet<DamagedPart> = new Set<DamagedPart>([
  "version table",
  "working image",
  "committed image",
  "both images",
  "either image",
]);

/** Cut at the borders of arrays: each piece belongs to one of them, or to none. */
function byArray({ part, offset, bytes }: DamagedBlocks, schema: Schema): Damage[] {
  if (!imageParts.has(part)) return [{ part, array: undefined, offset, bytes }];
  const pieces: Damage[] = [];
  const add = (array: string | null | undefined, from: number, to: number) => {
    if (from < to) pieces.push({ part, array, offset: from, bytes: to - from });
  };
  let at = offset;
  const end = offset + bytes;
  for (const array of schema.arrays) {
    const from = Math.max(at, array.offset);
    const to = Math.min(end, array.offset + array.bytes);
    if (from >= to) continue;
    add(undefined, at, from);
    add(array.name, from, to);
    at = to;
  }
  add(undefined, at, end);
  return pieces;
}
