import type { TypedArray } from "./dtype.ts";
import { sizeOf } from "./shape.ts";

/** A box of elements within a flat view: `strides` and `offset` count elements. */
export interface Strided {
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  readonly offset: number;
}

export function isContiguous(box: Strided): boolean {
  return outerOf(box).box.shape.length === 0;
}

/** Number of maximal contiguous segments, without visiting them. */
export function segmentCount(box: Strided): number {
  return sizeOf(outerOf(box).box.shape);
}

/** Calls `visit` for each maximal contiguous segment, in C order, with its place in the view and its length, both in elements. */
export function eachSegment(box: Strided, visit: (at: number, count: number) => void): void {
  const outer = outerOf(box);
  const index = outer.box.shape.map(() => 0);
  let at = box.offset;
  for (let left = sizeOf(outer.box.shape); left > 0; left--) {
    visit(at, outer.count);
    at = advance(outer.box, index, at);
  }
}

/** Steps `index` to the next element in C order and returns that element's place; from the last back to the first. */
export function advance({ shape, strides }: Strided, index: number[], at: number): number {
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    at += strides[axis]!;
    if (++index[axis]! < shape[axis]!) return at;
    at -= shape[axis]! * strides[axis]!;
    index[axis] = 0;
  }
  return at;
}

/** How many trailing elements lie side by side, and the box of the places where such segments begin. */
function outerOf({ shape, strides, offset }: Strided): { count: number; box: Strided } {
  let count = 1;
  let axis = shape.length - 1;
  while (axis >= 0 && strides[axis] === count) count *= shape[axis--]!;
  const box = { shape: [] as number[], strides: [] as number[], offset };
  for (let outer = 0; outer <= axis; outer++) {
    if (shape[outer] === 1) continue;
    box.shape.push(shape[outer]!);
    box.strides.push(strides[outer]!);
  }
  return { count, box };
}

/**
 * The memory of `view` as unsigned words. Floats pass through JavaScript numbers only at the price of NaN payloads,
 * and 64-bit integers only as bigints, so bits are compared and moved as these.
 */
export function wordsOf(view: TypedArray): Words {
  const { buffer, byteOffset, byteLength, BYTES_PER_ELEMENT: bytes } = view;
  if (bytes === 1) return new Uint8Array(buffer, byteOffset, byteLength);
  if (bytes === 2) return new Uint16Array(buffer, byteOffset, byteLength / 2);
  return new Uint32Array(buffer, byteOffset, byteLength / 4);
}

/** The elements of the box, bit by bit, packed into `out` (a view of the same dtype, at least as long). */
export function pack(view: TypedArray, box: Strided, out: TypedArray): void {
  const [from, to] = [wordsOf(view), wordsOf(out)];
  const words = view.BYTES_PER_ELEMENT / from.BYTES_PER_ELEMENT;
  let done = 0;
  eachSegment(box, (at, count) => {
    copyWords(to, done, from, at * words, count * words);
    done += count * words;
  });
}

/** The reverse of {@link pack}: packed elements into the box. */
export function unpack(packed: TypedArray, view: TypedArray, box: Strided): void {
  const [from, to] = [wordsOf(packed), wordsOf(view)];
  const words = view.BYTES_PER_ELEMENT / to.BYTES_PER_ELEMENT;
  let done = 0;
  eachSegment(box, (at, count) => {
    copyWords(to, at * words, from, done, count * words);
    done += count * words;
  });
}

/** Whether the box holds the same bits as `packed`, its elements in C order. */
export function sameBits(view: TypedArray, box: Strided, packed: TypedArray): boolean {
  const [left, right] = [wordsOf(view), wordsOf(packed)];
  const words = view.BYTES_PER_ELEMENT / left.BYTES_PER_ELEMENT;
  let same = true;
  let done = 0;
  eachSegment(box, (at, count) => {
    const base = at * words;
    for (let i = 0; same && i < count * words; i++) same = left[base + i] === right[done + i];
    done += count * words;
  });
  return same;
}

type Words = Uint8Array | Uint16Array | Uint32Array;

function copyWords(to: Words, toAt: number, from: Words, fromAt: number, count: number): void {
  // Below some dozen words the two objects that subarray() and set() make cost more than the copy.
  if (count > 32) to.set(from.subarray(fromAt, fromAt + count), toAt);
  else for (let i = 0; i < count; i++) to[toAt + i] = from[fromAt + i]!;
}
