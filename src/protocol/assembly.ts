import { refuse } from "./fault.ts";
import { bytesOfRunMin, hashBytes, leafBytes, partBytesMin } from "./limits.ts";
import type { HashesMessage } from "./messages.ts";
import type { DeltaChunk, DeltaHead, DeltaPart } from "./part.ts";

/** A delta that has come whole: all of it is one commit of the follower. Its views share the memory of the frames it came in. */
export interface Delta extends DeltaHead {
  /** The subscription's number on this link. */
  readonly subscription: number;
  /** How many parts were handed on before this one, the last. */
  readonly partsBefore: number;
  /** What the last part brings. With those before: ascending, disjoint, and every run inside the subscribed bytes. */
  readonly chunks: readonly DeltaChunk[];
}

/** What a delta may hold at most. */
export interface DeltaLimits {
  /** Bytes under the subscription. */
  readonly bytes: number;
  /** Separate stretches of the source image that they lie in. */
  readonly stretches: number;
  /** Whether these bytes of the source image are all subscribed. */
  readonly inside: (offset: number, bytes: number) => boolean;
}

/** The parts so far, newest first: appending is O(1) and leaves the old value as it was. */
interface Link<T> {
  readonly value: T;
  readonly before: Link<T> | null;
}

/** What is known of a delta of which the last part has not arrived. Its bytes are with who applies it. */
export interface Assembly {
  readonly head: DeltaHead;
  readonly parts: number;
  readonly dataBytes: number;
  readonly runCount: number;
  /** Where the last run ends. */
  readonly end: number;
}

/**
 * Adds a part to what there is of its delta (null: nothing). Throws BAD_MESSAGE or REGION at the first part that cannot
 * belong to a legal delta, so never more is handed on than what the subscription has bytes.
 */
export function addPart(
  assembly: Assembly | null,
  part: DeltaPart,
  limits: DeltaLimits,
):
  | { readonly kind: "partial"; readonly assembly: Assembly; readonly chunks: readonly DeltaChunk[] }
  | { readonly kind: "whole"; readonly delta: Delta } {
  const before = begun(assembly, part, limits);
  const { head, end } = before;
  const runCount = before.runCount + runsBegunIn(part, end);
  const runsMax = limits.stretches + limits.bytes / bytesOfRunMin;
  if (runCount > runsMax) bad(`it has more than the ${Math.floor(runsMax)} runs that may be in it`);
  checkRuns(part.runs, end, limits);
  const total = before.dataBytes + part.data.byteLength;
  if (total > head.totalBytes) bad(`it brings more than the ${head.totalBytes} bytes that it announced`);
  const chunks = part.runs.length === 0 ? [] : [{ runs: part.runs, data: part.data }];
  if (part.last) {
    if (total < head.totalBytes) bad(`it ends after ${total} of ${head.totalBytes} bytes`);
    const { subscription } = part;
    return { kind: "whole", delta: { subscription, ...head, partsBefore: before.parts, chunks } };
  }
  if (part.payloadBytes < partBytesMin) bad(`a part of ${part.payloadBytes} bytes is not its last`);
  const newEnd = part.runs.length === 0 ? end : part.runs.at(-2)! + part.runs.at(-1)!;
  const parts = before.parts + 1;
  return { kind: "partial", assembly: { head, parts, dataBytes: total, runCount, end: newEnd }, chunks };
}

function begun(assembly: Assembly | null, part: DeltaPart, limits: DeltaLimits): Assembly {
  if (part.head === undefined) return assembly ?? bad("it starts in the middle");
  if (assembly !== null) bad("it starts before the last one has ended");
  const { head } = part;
  if (head.totalBytes > limits.bytes) {
    refuse("REGION", `A delta announces ${head.totalBytes} bytes, ${limits.bytes} are subscribed.`);
  }
  if (head.full && head.totalBytes !== limits.bytes) {
    bad(`it calls itself full with ${head.totalBytes} of ${limits.bytes} bytes`);
  }
  return { head, parts: 0, dataBytes: 0, runCount: 0, end: 0 };
}

/** One that was cut at the end of the part before counts there. */
function runsBegunIn({ head, runs }: DeltaPart, end: number): number {
  return runs.length / 2 - (head === undefined && runs[0] === end ? 1 : 0);
}

function checkRuns(runs: Float64Array, end: number, limits: DeltaLimits): void {
  if (runs.length > 0 && runs[0]! < end) bad(`its runs go back from ${end} to ${runs[0]}`);
  for (let index = 0; index < runs.length; index += 2) {
    const offset = runs[index]!;
    const bytes = runs[index + 1]!;
    if (!limits.inside(offset, bytes)) {
      refuse("REGION", `A delta has the bytes ${offset} to ${offset + bytes}, which are not all subscribed.`);
    }
  }
}

/** The leaf hashes of one follower, of which the last part has not arrived. */
export interface HashesAssembly {
  readonly version: number;
  readonly parts: Link<Uint8Array> | null;
  readonly leafCount: number;
}

/** Leaves of a subscription. */
export function leafCountOf(bytes: number): number {
  return Math.ceil(bytes / leafBytes);
}

/** The same for HASHES: `bytes` are those of the subscription, whose leaves must all be there in the end. */
export function addHashes(
  assembly: HashesAssembly | null,
  part: HashesMessage,
  bytes: number,
):
  | { readonly kind: "partial"; readonly assembly: HashesAssembly }
  | { readonly kind: "whole"; readonly version: number; readonly leafHashes: Uint8Array } {
  if (part.first !== (assembly === null)) badHashes("the first part must come first, and once");
  const before = assembly ?? { version: part.version, parts: null, leafCount: 0 };
  if (part.version !== before.version) badHashes(`version ${part.version} after ${before.version}`);
  if (part.firstLeaf !== before.leafCount)
    badHashes(`leaf ${part.firstLeaf} after ${before.leafCount} leaves`);
  const leafCount = before.leafCount + part.hashes.byteLength / hashBytes;
  const expected = leafCountOf(bytes);
  if (leafCount > expected || (part.last && leafCount < expected)) {
    badHashes(`${leafCount} leaves, the subscription has ${expected}`);
  }
  const parts = { value: part.hashes, before: before.parts };
  if (part.last) return { kind: "whole", version: before.version, leafHashes: joined(parts, leafCount) };
  if (part.hashes.byteLength < partBytesMin)
    badHashes(`a part of ${part.hashes.byteLength} bytes is not its last`);
  return { kind: "partial", assembly: { version: before.version, parts, leafCount } };
}

function joined(parts: Link<Uint8Array>, leafCount: number): Uint8Array {
  const all = new Uint8Array(leafCount * hashBytes);
  let at = 0;
  for (const part of inOrder(parts)) {
    all.set(part, at);
    at += part.byteLength;
  }
  return all;
}

function inOrder<T>(newest: Link<T> | null): T[] {
  const values: T[] = [];
  for (let link = newest; link !== null; link = link.before) values.push(link.value);
  return values.reverse();
}

function bad(what: string): never {
  return refuse("BAD_MESSAGE", `DELTA: ${what}.`);
}

function badHashes(what: string): never {
  return refuse("BAD_MESSAGE", `HASHES: ${what}.`);
}
