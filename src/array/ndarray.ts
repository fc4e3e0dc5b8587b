import { fail } from "../errors.ts";
import { type DtypeCode, dtypeCode, loadCell, storeCell } from "./cell.ts";
import {
  holds,
  type Dtype,
  dtypeBytes,
  newView,
  type ScalarOf,
  type TypedArray,
  typedView,
  type ViewOf,
} from "./dtype.ts";
import type { Lease } from "./lease.ts";
import { type Nested, nest, packed, type Source } from "./nested.ts";
import { render } from "./render.ts";
import { BOOLEAN, NUMBER, type ScalarKind, scalarKind, toStored } from "./scalar.ts";
import type { ArraySchema } from "./schema.ts";
import { checkBox, refuseIndex, sameShape, shapeText, sizeOf, stridesOf } from "./shape.ts";
import { advance, eachSegment, isContiguous, pack, sameBits, type Strided, unpack } from "./strided.ts";

/**
 * An N-d array over memory that it does not own. It works while its {@link Lease} is open and its memory mapped; after
 * that everything throws VIEW_EXPIRED (the transaction is over) or CLOSED (the memory is gone). Elements are numbers,
 * bigints for i64 and u64, booleans for bool. Storing follows typed arrays: integers wrap around, floats round; a
 * value of the wrong kind is INVALID_DTYPE. Every write first reports the bytes it is about to change to the lease.
 */
export class NdArray<D extends Dtype = Dtype> implements Strided {
  readonly dtype: D;
  readonly shape: readonly number[];
  /** Elements (not bytes) between neighbours along each axis. */
  readonly strides: readonly number[];
  /** Number of elements. */
  readonly size: number;
  /** Elements of the underlying view before the first of this array. */
  readonly offset: number;
  /** Whether the elements lie side by side in memory. */
  readonly contiguous: boolean;
  /** Image bytes before the underlying view. */
  private readonly base: number;
  private readonly view: TypedArray;
  /** What `data` gives of an array that may only be read: shared with its slices. */
  private readonly raw: { view: TypedArray | null };
  private readonly lease: Lease;
  private readonly kind: ScalarKind;
  private readonly code: DtypeCode;
  private readonly bytes: number;
  private readonly rank: number;
  // The first three axes as plain fields: get() and set() look up no array for them.
  private readonly dim0: number;
  private readonly dim1: number;
  private readonly dim2: number;
  private readonly step0: number;
  private readonly step1: number;
  private readonly step2: number;

  /** `view` begins at image byte `base`, and `box` lies within `view`. */
  constructor(
    dtype: D,
    view: ViewOf<D>,
    base: number,
    lease: Lease,
    box: Strided,
    raw: { view: TypedArray | null } = { view: null },
  ) {
    this.dtype = dtype;
    this.shape = box.shape.slice();
    this.strides = box.strides.slice();
    this.size = sizeOf(box.shape);
    this.offset = box.offset;
    this.contiguous = isContiguous(box);
    this.base = base;
    this.view = view;
    this.raw = raw;
    this.lease = lease;
    this.kind = scalarKind(dtype);
    this.code = dtypeCode(dtype);
    this.bytes = dtypeBytes(dtype);
    this.rank = box.shape.length;
    this.dim0 = box.shape[0] ?? 0;
    this.dim1 = box.shape[1] ?? 0;
    this.dim2 = box.shape[2] ?? 0;
    this.step0 = box.strides[0] ?? 0;
    this.step1 = box.strides[1] ?? 0;
    this.step2 = box.strides[2] ?? 0;
  }

  /** The array that `schema` describes, in a buffer whose first byte is image byte `imageStart`. */
  static over(schema: ArraySchema, buffer: ArrayBuffer, lease: Lease, imageStart = 0): NdArray {
    const view = typedView(schema.dtype, buffer, schema.offset - imageStart, sizeOf(schema.shape));
    const box = { shape: schema.shape, strides: stridesOf(schema.shape), offset: 0 };
    return new NdArray(schema.dtype, view, schema.offset, lease, box);
  }

  /** Byte of the image at which the first element stands. */
  get byteOffset(): number {
    return this.base + this.offset * this.bytes;
  }

  /** One element; as many numbers as dimensions. INVALID_INDEX outside the shape. */
  get(...index: number[]): ScalarOf<D>;
  // Parameters spelled out, one more than there can be dimensions: a rest array would be an allocation a call.
  get(
    a?: unknown,
    b?: unknown,
    c?: unknown,
    d?: unknown,
    e?: unknown,
    f?: unknown,
    g?: unknown,
    h?: unknown,
    i?: unknown,
  ): ScalarOf<D> {
    if (!this.lease.open) this.refuse();
    const { rank } = this;
    let at: number;
    if (rank === 2) at = this.at2(a, b, c);
    else if (rank === 1) at = this.at1(a, b);
    else if (rank === 3) at = this.at3(a, b, c, d);
    else at = this.atMany([a, b, c, d, e, f, g, h, i]);
    return this.load(at);
  }

  /** Stores the last argument at the index before it: `set(1, 4, x)` in two dimensions. INVALID_INDEX outside the shape. */
  // @ts-expect-error No list of parameters is taken for a rest in front, and a rest behind them would cost 6 ns a call.
  set(...indexThenValue: [...index: number[], value: ScalarOf<D>]): void;
  set(
    a?: unknown,
    b?: unknown,
    c?: unknown,
    d?: unknown,
    e?: unknown,
    f?: unknown,
    g?: unknown,
    h?: unknown,
    i?: unknown,
    j?: unknown,
  ): void {
    const { rank } = this;
    if (rank === 2) this.put(this.at2(a, b, d), c);
    else if (rank === 1) this.put(this.at1(a, c), b);
    else if (rank === 3) this.put(this.at3(a, b, c, e), d);
    else this.setMany([a, b, c, d, e, f, g, h, i, j]);
  }

  private setMany(all: unknown[]): void {
    const value = all[this.rank];
    all[this.rank] = undefined;
    this.put(this.atMany(all), value);
  }

  private put(at: number, value: unknown): void {
    const { lease } = this;
    const touch = lease.touch;
    if (!lease.open || touch === null) this.refuse();
    if (typeof value !== "number" || this.kind !== NUMBER) value = toStored(this.dtype, this.kind, value);
    touch(this.base + at * this.bytes, this.bytes);
    if (!storeCell(this.code, this.view, at, value as number)) this.refuse();
  }

  /** Stores `value` in every element. */
  fill(value: ScalarOf<D>): void {
    const touch = this.checkWritable();
    const stored = toStored(this.dtype, this.kind, value);
    const view = this.view as Float64Array;
    eachSegment(this, (at, count) => {
      touch(this.base + at * this.bytes, count * this.bytes);
      view.fill(stored as number, at, at + count);
    });
  }

  /**
   * Stores all elements of `source`: an array of the same shape, nested arrays of the same shape, or a flat sequence
   * in C order. From the same dtype the bits are copied as they are, NaN payloads and all, and the two may overlap;
   * from another each element is converted as set() would. All of `source` is read before anything is written.
   * INVALID_SHAPE, INVALID_DTYPE.
   */
  assign(source: NdArray | Source<D>): void {
    const touch = this.checkWritable();
    const elements =
      source instanceof NdArray ? this.converted(source) : packed(this.dtype, this.shape, source);
    eachSegment(this, (at, count) => touch(this.base + at * this.bytes, count * this.bytes));
    // The source may be a strided slice's own memory, which unpack() must not overwrite before it has read it.
    const apart = this.contiguous || elements.buffer !== this.view.buffer ? elements : elements.slice();
    if (this.contiguous) (this.view as Float64Array).set(elements as Float64Array, this.offset);
    else unpack(apart, this.view, this);
  }

  /** The box of `shape` at `start`: the same memory and the same lease, no copy. INVALID_REGION outside the array. */
  slice(start: readonly number[], shape: readonly number[]): NdArray<D> {
    checkBox(this.shape, start, shape, "slice");
    return this.box({ shape, strides: this.strides, offset: this.offset + this.steps(start) });
  }

  /** The part at place `i` of the first axis, with one dimension less: same memory, no copy. */
  row(i: number): NdArray<D> {
    if (this.rank === 0) fail("INVALID_INDEX", "an array without dimensions has no rows");
    if (i >>> 0 !== i || i >= this.dim0) refuseIndex(this.shape.slice(0, 1), [i]);
    const [shape, strides] = [this.shape.slice(1), this.strides.slice(1)];
    return this.box({ shape, strides, offset: this.offset + i * this.step0 });
  }

  /**
   * All elements as one flat typed array over the same memory, in C order (bool as bytes 0 and 1). Asking for it in a
   * write marks everything as touched, since what is written through it cannot be seen; after the transaction it
   * must not be written, and with MEMBLAST_STRICT=1 it is taken away (length 0). No typed array refuses a store, so of an
   * array that may only be read: what is stored into a shared segment's stays in this process, and the page (4 KiB) that
   * it went to shows no later commit in `data` (get() and all others do); what is stored into private memory, or into the
   * copy that a read beside other writers gets, is what this process reads from then on. INVALID_SHAPE for a slice whose
   * elements do not lie side by side.
   */
  get data(): ViewOf<D> {
    this.checkReadable();
    if (!this.contiguous) {
      fail(
        "INVALID_SHAPE",
        "the elements of this slice do not lie side by side; take toArray(), or assign() to it",
      );
    }
    const { byteOffset, lease, size } = this;
    if (lease.touch === null) return this.side(this.lent()) as ViewOf<D>;
    const byteLength = size * this.bytes;
    lease.touch(byteOffset, byteLength);
    if (lease.lend) return typedView(this.dtype, lease.lend(byteOffset, byteLength), 0, size) as ViewOf<D>;
    return this.side(this.view) as ViewOf<D>;
  }

  /** A copy as nested JavaScript arrays; a bare element for an array without dimensions. */
  toArray(): Nested<ScalarOf<D>> {
    return nest(this.shape, this.cursor());
  }

  /** Copies all elements, in C order, into `target`, a typed array of this dtype and size. INVALID_DTYPE, INVALID_SHAPE */
  copyTo(target: TypedArray): void {
    this.checkReadable();
    if (!holds(this.dtype, target))
      fail(
        "INVALID_DTYPE",
        `elements of ${this.dtype} do not go into a ${(target as TypedArray).constructor.name}`,
      );
    if (target.length !== this.size)
      fail("INVALID_SHAPE", `${this.size} elements do not go into ${target.length}`);
    pack(this.view, this, target);
  }

  /** All elements in C order, read one by one as they are asked for. */
  *[Symbol.iterator](): Generator<ScalarOf<D>, void, undefined> {
    const next = this.cursor();
    for (let left = this.size; left > 0; left--) yield next();
  }

  /** Whether dtype, shape and every bit are the same: a NaN equals itself, 0 and -0 differ. */
  equals(other: NdArray): boolean {
    this.checkReadable();
    other.checkReadable();
    if (other.dtype !== (this.dtype as Dtype) || !sameShape(this.shape, other.shape)) return false;
    return sameBits(this.view, this, other.packed());
  }

  toString(): string {
    const head = `NdArray ${this.dtype} ${shapeText(this.shape)}`;
    if (this.view.length === 0) return `${head} (closed)`;
    if (!this.lease.open) return `${head} (expired)`;
    return `${head}\n${render(this.shape, (index) => this.load(this.offset + this.steps(index)))}`;
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return this.toString();
  }

  private at1(a: unknown, extra: unknown): number {
    if ((a as number) >>> 0 !== a || a >= this.dim0 || extra !== undefined) this.refuseIndex([a, extra]);
    return this.offset + a * this.step0;
  }

  private at2(a: unknown, b: unknown, extra: unknown): number {
    if (
      (a as number) >>> 0 !== a ||
      a >= this.dim0 ||
      (b as number) >>> 0 !== b ||
      b >= this.dim1 ||
      extra !== undefined
    ) {
      this.refuseIndex([a, b, extra]);
    }
    return this.offset + a * this.step0 + b * this.step1;
  }

  private at3(a: unknown, b: unknown, c: unknown, extra: unknown): number {
    if (
      (a as number) >>> 0 !== a ||
      a >= this.dim0 ||
      (b as number) >>> 0 !== b ||
      b >= this.dim1 ||
      (c as number) >>> 0 !== c ||
      c >= this.dim2 ||
      extra !== undefined
    ) {
      this.refuseIndex([a, b, c, extra]);
    }
    return this.offset + a * this.step0 + b * this.step1 + c * this.step2;
  }

  private atMany(index: unknown[]): number {
    const { rank, shape, strides } = this;
    let at = this.offset;
    for (let axis = 0; axis < index.length; axis++) {
      const i = index[axis];
      if (axis >= rank ? i !== undefined : (i as number) >>> 0 !== i || i >= shape[axis]!)
        this.refuseIndex(index);
      if (axis < rank) at += (i as number) * strides[axis]!;
    }
    return at;
  }

  private steps(index: readonly number[]): number {
    return index.reduce((sum, i, axis) => sum + i * this.strides[axis]!, 0);
  }

  private box(box: Strided): NdArray<D> {
    return new NdArray(this.dtype, this.view as ViewOf<D>, this.base, this.lease, box, this.raw);
  }

  private cursor(): () => ScalarOf<D> {
    const index = this.shape.map(() => 0);
    let next = this.offset;
    return () => {
      if (!this.lease.open) this.refuse();
      const at = next;
      next = advance(this, index, at);
      return this.load(at);
    };
  }

  /** The whole underlying view, for a caller that may only read it. */
  private lent(): TypedArray {
    const { base, lease, raw, view } = this;
    if (lease.lend === null) return view;
    return (raw.view ??= typedView(this.dtype, lease.lend(base, view.byteLength), 0, view.length));
  }

  /** The elements side by side in `view`; only where `contiguous`. */
  private side(view: TypedArray): TypedArray {
    const { offset, size } = this;
    return size === view.length ? view : view.subarray(offset, offset + size);
  }

  /** The elements side by side: in place if they are, else as a copy. */
  private packed(): TypedArray {
    if (this.contiguous) return this.side(this.view);
    const out = newView<Dtype>(this.dtype, this.size);
    pack(this.view, this, out);
    return out;
  }

  private converted(source: NdArray): TypedArray {
    source.checkReadable();
    if (!sameShape(source.shape, this.shape)) {
      fail("INVALID_SHAPE", `cannot assign ${shapeText(source.shape)} to ${shapeText(this.shape)}`);
    }
    if (source.dtype === (this.dtype as Dtype)) return source.packed();
    return packed(this.dtype, [this.size], source.packed());
  }

  private load(at: number): ScalarOf<D> {
    const stored = loadCell(this.code, this.view, at);
    if (stored === undefined) this.refuse();
    return (this.kind === BOOLEAN ? stored !== 0 : stored) as ScalarOf<D>;
  }

  private refuseIndex(given: unknown[]): never {
    const count = given.findLastIndex((i) => i !== undefined) + 1;
    return refuseIndex(this.shape, given.slice(0, count));
  }

  private refuse(): never {
    if (this.view.length === 0)
      fail("CLOSED", "this array's memory is gone: the node or segment it came from was closed");
    if (!this.lease.open) {
      fail(
        "VIEW_EXPIRED",
        "the transaction that this array was handed out for is over; take the array from the new one",
      );
    }
    fail("READ_ONLY", "this array is for reading; write inside node.write((a, tx) => ...)");
  }

  private checkReadable(): void {
    if (!this.lease.open || this.view.length === 0) this.refuse();
  }

  private checkWritable(): (byteOffset: number, byteLength: number) => void {
    const { touch } = this.lease;
    if (!this.lease.open || touch === null || this.view.length === 0) this.refuse();
    return touch;
  }
}
