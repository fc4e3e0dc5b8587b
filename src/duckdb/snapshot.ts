import { type Dtype, dtypeBytes, type TypedArray, typedView } from "../array/dtype.ts";
import { sizeOf } from "../array/shape.ts";
import { Held } from "../memory/held.ts";

/** What {@link liveTable} needs of an array: its dtype, its shape and its elements in C order. */
export interface LiveArray {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly data: TypedArray;
  /** Copies the elements; without it, `data` is what is copied. */
  copyTo?(target: TypedArray): void;
}

/** One committed version. */
export interface LiveView {
  readonly version: number;
  /** The metadata that was committed with this version. */
  readonly meta: unknown;
  array(name: string): LiveArray;
}

/** Some arrays, all of one version, in memory that others may hold. */
export interface LiveCopy {
  readonly held: Held;
  readonly version: number;
  readonly isNewest: boolean;
  readonly meta: unknown;
  array(name: string | null): LiveArray;
  /** Bytes from the start of the memory to the array. */
  offsetOf(name: string | null): number;
  /** Pairs of first element and count that cover what changed after `version`. */
  changedSince(version: number, name: string | null): Float64Array;
  refresh(): boolean;
  close(): void;
}

/** What {@link liveTable} needs of a node: a consistent read. A node of `start` and one of `attach` both do. */
export interface LiveNode {
  read<R>(use: (main: LiveArray, view: LiveView) => R): R;
  /** A copy that is brought up to date by what changed; without it every version is copied whole. */
  copy?(names: readonly (string | null)[]): LiveCopy;
}

/** What a query sees: one version. */
export interface Snapshot {
  /** Tells snapshots apart, also two of the same version. */
  readonly id: number;
  readonly version: number;
  readonly meta: unknown;
  readonly copy: LiveCopy;
  /** Who reads the copy from JavaScript; those that can be dereferenced. */
  readonly readers: Set<Reader>;
}

/** A WeakRef where DuckDB may drop a reader before its end, and then tells nobody. */
export interface Reader {
  deref(): object | undefined;
}

/** From so many copies on it is worth a collection to know which of them are read still. */
const copiesUnlooked = 3;

/** How many versions back a query may still ask for the metadata; queries of one connection run one after the other. */
const remembered = 256;

/**
 * The versions of a node that the queries of one connection see. All scans of one transaction (a query that names a table twice, or
 * two tables of the node, a recursive one) get the same version. A copy that threads of DuckDB's still read stays as it is, and another
 * one is taken instead.
 */
export class Snapshots {
  readonly #node: LiveNode;
  /** The arrays that tables show, and how many tables each. */
  readonly #users = new Map<string | null, number>();
  #copies: LiveCopy[] = [];
  #current: Snapshot | undefined;
  #transaction: string | undefined;
  readonly #seen = new Map<number, Snapshot>();
  #lastId = 0;

  constructor(node: LiveNode) {
    this.#node = node;
  }

  /** From now on snapshots contain this array. */
  enter(name: string | null): void {
    const users = this.#users.get(name) ?? 0;
    this.#users.set(name, users + 1);
    if (users === 0) this.#forget();
  }

  leave(name: string | null): void {
    const users = this.#users.get(name)! - 1;
    if (users > 0) this.#users.set(name, users);
    else if (this.#users.delete(name)) this.#forget();
  }

  /** The snapshot of `transaction`; `undefined`, when DuckDB gave none, is a transaction of its own. */
  take(transaction: string | undefined): Snapshot {
    const current = this.#current;
    if (current && transaction !== undefined && transaction === this.#transaction) return current;
    this.#transaction = undefined; // should the node refuse, the next scan of this transaction asks it again
    this.#current = this.#newest(current);
    this.#transaction = transaction;
    return this.#current;
  }

  /** What the snapshot with this id saw. */
  seen(id: number): Snapshot | undefined {
    return this.#seen.get(id);
  }

  #newest(current: Snapshot | undefined): Snapshot {
    if (current && this.#isRead(current.copy)) {
      if (current.copy.isNewest) return current;
      return this.#remember(this.#idleCopy());
    }
    const copy = current?.copy ?? this.#idleCopy();
    copy.refresh();
    return current && current.version === copy.version ? current : this.#remember(copy);
  }

  /** An up-to-date copy that nobody reads. A second idle one would be memory for nothing. */
  #idleCopy(): LiveCopy {
    if (this.#copies.length >= copiesUnlooked && this.#copies.every((copy) => this.#hasReaders(copy)))
      Bun.gc(true);
    const [idle, ...more] = this.#copies.filter((copy) => !this.#isRead(copy));
    for (const copy of more) copy.close();
    this.#copies = this.#copies.filter((copy) => !more.includes(copy));
    if (idle) {
      idle.refresh();
      return idle;
    }
    const names = [...this.#users.keys()];
    const made = this.#node.copy?.(names) ?? new WholeCopy(this.#node, names);
    this.#copies.push(made);
    return made;
  }

  #isRead(copy: LiveCopy): boolean {
    return copy.held.isShared || this.#hasReaders(copy);
  }

  #hasReaders(copy: LiveCopy): boolean {
    for (const snapshot of this.#seen.values())
      if (snapshot.copy === copy) for (const reader of snapshot.readers) if (reader.deref()) return true;
    return false;
  }

  #remember(copy: LiveCopy): Snapshot {
    const { version, meta } = copy;
    const snapshot: Snapshot = { id: ++this.#lastId, version, meta, copy, readers: new Set() };
    this.#seen.set(snapshot.id, snapshot);
    this.#seen.delete(snapshot.id - remembered);
    return snapshot;
  }

  /** Copies that are read go away with their last reader. */
  #forget(): void {
    for (const copy of this.#copies) if (!this.#isRead(copy)) copy.close();
    this.#copies = [];
    this.#current = undefined;
    this.#transaction = undefined;
  }
}

/** The copy of a node that tells nothing about its changes. */
class WholeCopy implements LiveCopy {
  readonly held: Held;
  version = 0;
  meta: unknown;
  readonly #node: LiveNode;
  readonly #parts = new Map<string | null, LiveArray & { readonly offset: number }>();
  #isFilled = false;

  constructor(node: LiveNode, names: readonly (string | null)[]) {
    this.#node = node;
    let end = 0;
    const places = node.read((main, view) =>
      names.map((name) => {
        const { dtype, shape } = name === null ? main : view.array(name);
        const place = { name, dtype, shape: [...shape], offset: end };
        end += Math.ceil((sizeOf(shape) * dtypeBytes(dtype)) / 64) * 64;
        return place;
      }),
    );
    this.held = new Held(end);
    for (const { name, dtype, shape, offset } of places) {
      const size = sizeOf(shape);
      const data = typedView(dtype, this.held.buffer(offset, size * dtypeBytes(dtype)), 0, size);
      this.#parts.set(name, { dtype, shape, offset, data });
    }
    this.refresh();
  }

  get isNewest(): boolean {
    return this.#isFilled && this.#node.read((_, view) => view.version) === this.version;
  }

  array(name: string | null): LiveArray {
    return this.#parts.get(name)!;
  }

  offsetOf(name: string | null): number {
    return this.#parts.get(name)!.offset;
  }

  changedSince(version: number, name: string | null): Float64Array {
    if (version === this.version) return new Float64Array(0);
    return Float64Array.of(0, sizeOf(this.array(name).shape));
  }

  refresh(): boolean {
    return this.#node.read((main, view) => {
      if (this.#isFilled && view.version === this.version) return false;
      for (const [name, { data }] of this.#parts) {
        const array = name === null ? main : view.array(name);
        if (array.copyTo) array.copyTo(data);
        else copyInto(data, array.data);
      }
      this.version = view.version;
      this.meta = view.meta;
      this.#isFilled = true;
      return true;
    });
  }

  close(): void {
    this.held.release();
  }
}

function copyInto(target: TypedArray, source: TypedArray): void {
  const bytes = (view: TypedArray) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  bytes(target).set(bytes(source));
}
