import { fail } from "../errors.ts";
import { check } from "./failure.ts";
import { library } from "./library.ts";

/** What lost its contents. "either image": working and committed differ, and nothing tells which of them is right. */
export type DamagedPart =
  | "header"
  | "state words"
  | "redo page"
  | "version table"
  | "working image"
  | "committed image"
  | "both images"
  | "either image";

/** The order of verify.c. */
const parts: readonly DamagedPart[] = [
  "header",
  "state words",
  "redo page",
  "version table",
  "working image",
  "committed image",
  "both images",
  "either image",
];

/** A stretch that changed without a commit. */
export interface DamagedBlocks {
  readonly part: DamagedPart;
  /** Bytes from the start of the part; of the image that the entries stand for, in the version table. */
  readonly offset: number;
  readonly bytes: number;
}

/** What a look found. */
export interface Inspection {
  readonly version: number;
  /** The look had nothing earlier to compare with: it found only what contradicts itself. */
  readonly isFirst: boolean;
  readonly damage: readonly DamagedBlocks[];
}

const rowsAtFirst = 256;

/** See verify.c. `alone`: the caller holds the writer's lock. */
export function inspect(
  handle: number,
  alone: boolean,
  image: { blockBytes: number; imageBytes: number },
): Inspection {
  const info = new Float64Array(2);
  let isFirst: boolean | null = null;
  for (let capacity = rowsAtFirst; ;) {
    const rows = new Float64Array(3 * capacity);
    const count = check(library.verify(handle, alone ? 1 : 0, rows, capacity, info), "verify the segment");
    isFirst ??= info[1] === 1;
    if (count > capacity) {
      capacity = 2 * count;
      continue;
    }
    const damage = Array.from({ length: count }, (_, i) => stretch(rows.subarray(3 * i, 3 * i + 3), image));
    return { version: info[0]!, isFirst, damage };
  }
}

function stretch(
  row: Float64Array,
  { blockBytes, imageBytes }: { blockBytes: number; imageBytes: number },
): DamagedBlocks {
  const [kind, first, count] = row as unknown as [number, number, number];
  const part = parts[kind] ?? fail("LIBRARY", `The C library reports damage of a kind ${kind}`);
  if (kind < parts.indexOf("version table")) return { part, offset: first, bytes: count };
  const offset = first * blockBytes;
  return { part, offset, bytes: Math.min(count * blockBytes, imageBytes - offset) };
}
