import { arraySchema, type Schema } from "../array/schema.ts";
import { sameShape } from "../array/shape.ts";
import { fail } from "../errors.ts";
import { Pieces } from "./pieces.ts";
import { checkRegion, type Region, regionRuns, regionSegments, regionText } from "./region.ts";
import { RunIndex } from "./run_index.ts";
import { contains, type Runs, totalBytes, union } from "./runs.ts";
import { lastAtMost, SubscribedSpace } from "./space.ts";

/** A region of the source and the region of the follower's own arrays that repeats it, element for element in C order. */
export interface MappingLink {
  readonly source: Region;
  readonly target: Region;
}

/**
 * Where the bytes of a source image belong in a follower's image. A source byte may belong in several places, but no
 * place takes two source bytes. Overlaps of the sources are split into layers, within which every source byte has one
 * place: layer 0 holds all subscribed bytes where the first link that has them puts them.
 */
export class Mapping {
  /** All subscribed bytes of the source image. */
  readonly sourceRuns: Runs;
  /** The same, as the space that verification counts in. */
  readonly space: SubscribedSpace;
  /** All bytes of the local image that the source writes. */
  readonly localRuns: Runs;
  /** Per layer the triples local offset, source offset, length, sorted by source offset. */
  private readonly layers: readonly Float64Array[];
  /** The position in the subscribed space at which each triple of each layer begins. */
  private readonly positions: readonly Float64Array[];

  /**
   * A link's two regions must have the same dtype (SCHEMA_MISMATCH) and, dimensions of 1 left out, the same shape;
   * both must lie within their arrays, and no place may be the target of two source elements (INVALID_REGION).
   */
  constructor(source: Schema, local: Schema, links: readonly MappingLink[]) {
    this.sourceRuns = regionRuns(
      source,
      links.map((link) => link.source),
    );
    for (const [i, link] of links.entries()) checkLink(source, local, link, i);
    this.layers = layersOf(source, local, links);
    this.localRuns = regionRuns(
      local,
      links.map((link) => link.target),
    );
    if (bytesOf(this.layers) !== totalBytes(this.localRuns)) refuseOverlap(source, local, links);
    this.space = new SubscribedSpace(this.sourceRuns);
    this.positions = this.layers.map((layer) => positionsOf(layer, this.space));
  }

  /** In how many places the byte with most of them lies. */
  get layerCount(): number {
    return this.layers.length;
  }

  /**
   * Adds to `into` the copies that bring `bytes` bytes, which stand at `stagingOffset` of a staging buffer and come from
   * `sourceOffset` of the source image, to all their places. False, and nothing added, if any of them was not asked for.
   */
  pieces(sourceOffset: number, bytes: number, into: Pieces, stagingOffset = 0): boolean {
    if (!(bytes > 0) || !contains(this.sourceRuns, sourceOffset, bytes)) return false;
    const end = sourceOffset + bytes;
    for (const layer of this.layers) {
      for (let k = firstEndingAfter(layer, sourceOffset); k < layer.length && layer[k + 1]! < end; k += 3) {
        const from = Math.max(sourceOffset, layer[k + 1]!);
        const to = Math.min(end, layer[k + 1]! + layer[k + 2]!);
        into.add(layer[k]! + from - layer[k + 1]!, stagingOffset + from - sourceOffset, to - from);
      }
    }
    return true;
  }

  /**
   * Adds to `into` the copies that collect positions `from` up to but not including `to` of the subscribed space from
   * the local image into a staging buffer, `from` at its `stagingOffset`. Layer 0 has the first place of each byte, so all
   * of them; each further one has another place of those bytes that have as many.
   */
  gather(from: number, to: number, into: Pieces, stagingOffset = 0, layer = 0): void {
    const triples = this.layers[layer];
    const positions = this.positions[layer];
    if (triples === undefined || positions === undefined) return;
    for (let i = Math.max(0, lastAtMost(positions, from)); i < positions.length && positions[i]! < to; i++) {
      const first = Math.max(from, positions[i]!);
      const end = Math.min(to, positions[i]! + triples[3 * i + 2]!);
      if (end > first)
        into.add(triples[3 * i]! + first - positions[i]!, stagingOffset + first - from, end - first);
    }
  }
}

function checkLink(source: Schema, local: Schema, link: MappingLink, i: number): void {
  const from = checkRegion(source, link.source);
  const to = checkRegion(local, link.target);
  const both = `maps[${i}] (${regionText(link.source)} to ${regionText(link.target)})`;
  if (from.dtype !== to.dtype) {
    fail("SCHEMA_MISMATCH", `${both}: the dtypes differ, ${from.dtype} there and ${to.dtype} here`, { link });
  }
  if (!sameShape(withoutOnes(link.source.shape), withoutOnes(link.target.shape))) {
    fail("INVALID_REGION", `${both}: the two shapes differ in more than dimensions of 1`, { link });
  }
}

/** Names the first two links that put different source bytes in one place. */
function refuseOverlap(source: Schema, local: Schema, links: readonly MappingLink[]): never {
  const earlier = new RunIndex<number>();
  for (const [i, link] of links.entries()) {
    const own = targetRuns(local, link);
    for (const other of earlier.query(own).sort((a, b) => a - b)) {
      const pair = [links[other]!, link];
      if (bytesOf(layersOf(source, local, pair)) === totalBytes(union(targetRuns(local, pair[0]!), own)))
        continue;
      const [a, b] = pair.map(({ target }) => regionText(target));
      const text = `maps[${other}] (to ${a}) and maps[${i}] (to ${b}) put different source elements in the same place`;
      fail("INVALID_REGION", text, { links: [other, i] });
    }
    earlier.set(i, own);
  }
  return fail("INVALID_REGION", "two maps put different source elements in the same place");
}

/**
 * All stretches of bytes of the links as triples local offset, source offset, length, sorted by source offset, cut
 * wherever another begins or ends in the source. What coincides there is dealt out to layers, the first link's to layer
 * 0; a link that repeats what an earlier one says adds nothing.
 */
function layersOf(source: Schema, local: Schema, links: readonly MappingLink[]): Float64Array[] {
  const pieces = new Pieces();
  for (const link of links) zip(targetRuns(local, link), sourceRuns(source, link), pieces);
  const stretches = pieces.data;
  const order = bySource(stretches);
  const layers: Pieces[] = [];
  const active: number[] = [];
  let next = 0;
  let offset = 0;
  while (next < order.length || active.length > 0) {
    if (active.length === 0) offset = stretches[order[next]! + 1]!;
    while (next < order.length && stretches[order[next]! + 1] === offset) active.push(order[next++]!);
    let end = next < order.length ? stretches[order[next]! + 1]! : Infinity;
    for (const k of active) end = Math.min(end, stretches[k + 1]! + stretches[k + 2]!);
    if (active.length > 1) active.sort((a, b) => a - b);
    let depth = 0;
    for (let i = 0; i < active.length; i++) {
      const shift = stretches[active[i]!]! - stretches[active[i]! + 1]!;
      if (active.findIndex((k) => stretches[k]! - stretches[k + 1]! === shift) < i) continue;
      (layers[depth++] ??= new Pieces()).add(offset + shift, offset, end - offset);
    }
    let kept = 0;
    for (const k of active) if (stretches[k + 1]! + stretches[k + 2]! > end) active[kept++] = k;
    active.length = kept;
    offset = end;
  }
  return layers.map((layer) => layer.data.slice());
}

function sourceRuns(schema: Schema, { source }: MappingLink): Runs {
  return regionSegments(arraySchema(schema, source.array), source);
}

function targetRuns(schema: Schema, { target }: MappingLink): Runs {
  return regionSegments(arraySchema(schema, target.array), target);
}

function bytesOf(layers: readonly Float64Array[]): number {
  let bytes = 0;
  for (const layer of layers) for (let k = 2; k < layer.length; k += 3) bytes += layer[k]!;
  return bytes;
}

/** Pairs up two lists of runs of the same total length, cut wherever either of them is. */
function zip(local: Runs, source: Runs, into: Pieces): void {
  let [i, j, iDone, jDone] = [0, 0, 0, 0];
  while (i < local.length && j < source.length) {
    const length = Math.min(local[i + 1]! - iDone, source[j + 1]! - jDone);
    into.add(local[i]! + iDone, source[j]! + jDone, length);
    iDone += length;
    jDone += length;
    if (iDone === local[i + 1]) {
      i += 2;
      iDone = 0;
    }
    if (jDone === source[j + 1]) {
      j += 2;
      jDone = 0;
    }
  }
}

/** Where each triple begins, in the order of their source offsets; equal ones keep their order. */
function bySource(triples: Float64Array): Uint32Array {
  const order = new Uint32Array(triples.length / 3);
  let sorted = true;
  for (let i = 0; i < order.length; i++) {
    order[i] = 3 * i;
    if (i > 0 && triples[3 * i + 1]! < triples[3 * i - 2]!) sorted = false;
  }
  return sorted ? order : order.sort((a, b) => triples[a + 1]! - triples[b + 1]! || a - b);
}

/** A triple's bytes stand side by side in the source, and so in the space. */
function positionsOf(layer: Float64Array, space: SubscribedSpace): Float64Array {
  return Float64Array.from({ length: layer.length / 3 }, (_, i) => space.positionOf(layer[3 * i + 1]!));
}

/** Index of the first triple that ends after `offset` in the source; the length of `layer` if none does. */
function firstEndingAfter(layer: Float64Array, offset: number): number {
  let low = 0;
  let high = layer.length / 3;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (layer[3 * middle + 1]! + layer[3 * middle + 2]! <= offset) low = middle + 1;
    else high = middle;
  }
  return 3 * low;
}

function withoutOnes(shape: readonly number[]): number[] {
  return shape.filter((dimension) => dimension !== 1);
}
