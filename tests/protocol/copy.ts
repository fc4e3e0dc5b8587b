import type { Delta } from "../../src/protocol/assembly.ts";
import type { AppliedOutcome } from "../../src/protocol/follower_state.ts";
import { leafHashesOf, type Range, rootOf } from "./source.ts";

/** One of the follower's subscriptions, with what it has of it. */
export interface Copy {
  readonly key: number;
  readonly range: Range;
  readonly verify: boolean;
  readonly bytes: Uint8Array;
  have: { incarnation: string; version: number } | null;
  /** Damaged behind the library's back, and not mended yet. */
  damaged: boolean;
}

/** One commit of the follower, and whether its bytes agree with the root. Throws if a version would go back. */
export function applyTo(copy: Copy, delta: Delta): AppliedOutcome {
  const { bytes, range, have } = copy;
  const { incarnation, to: version, root, full } = delta;
  if (have?.incarnation === incarnation && version < have.version) throw new Error("a version went back");
  for (const { runs, data } of delta.chunks) {
    for (let at = 0, from = 0; at < runs.length; at += 2) {
      const length = runs[at + 1]!;
      bytes.set(data.subarray(from, from + length), runs[at]! - range.start);
      from += length;
    }
  }
  copy.have = { incarnation, version };
  if (root !== undefined && Buffer.compare(root, rootOf(bytes)) !== 0) {
    return { kind: "mismatch", leafHashes: () => leafHashesOf(bytes) };
  }
  if (root !== undefined || full) copy.damaged = false;
  return { kind: "ok" };
}
