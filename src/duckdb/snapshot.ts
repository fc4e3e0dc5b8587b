import type { Dtype, TypedArray } from "../array/dtype.ts";

/** What {@link liveTable} needs of an array: its dtype, its shape and its elements in C order. */
export interface LiveArray {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly data: TypedArray;
}

/** One committed version. */
export interface LiveView {
  readonly version: number;
  /** The metadata that was committed with this version. */
  readonly meta: unknown;
  array(name: string): LiveArray;
}

/** What {@link liveTable} needs of a node: a consistent read. A node of `start` and one of `attach` both do. */
export interface LiveNode {
  read<R>(use: (main: LiveArray, view: LiveView) => R): R;
}

/** One version of one array, held for the queries that read it. */
export interface Snapshot {
  readonly version: number;
  readonly meta: unknown;
  readonly data: TypedArray;
  /** Scans that have begun and not come to their end. */
  scans: number;
}

/**
 * The versions that queries see. All scans of one transaction (a query that names the table twice, a recursive one)
 * get the same version, and as long as nothing is committed transactions share one snapshot.
 */
export class Snapshots {
  readonly #node: LiveNode;
  readonly #array: string | null;
  #newest: Snapshot | undefined;
  #transaction: string | undefined;

  constructor(node: LiveNode, array: string | null) {
    this.#node = node;
    this.#array = array;
  }

  /** The array's dtype and shape now; they are the same for the node's life. */
  describe(): { dtype: Dtype; shape: readonly number[] } {
    return this.#node.read((main, view) => {
      const { dtype, shape } = this.#pick(main, view);
      return { dtype, shape: [...shape] };
    });
  }

  /** The snapshot of `transaction`; `undefined`, when DuckDB gave none, is a transaction of its own. */
  take(transaction: string | undefined): Snapshot {
    const held = this.#newest;
    if (held && transaction !== undefined && transaction === this.#transaction) return held;
    this.#transaction = transaction;
    this.#newest = this.#node.read((main, view) => {
      if (held && held.version === view.version) return held;
      const { data } = this.#pick(main, view);
      // A buffer that nobody reads any more is used again: fresh memory of 32 MB costs four times the copy itself.
      const reused = held && held.scans === 0 ? held.data : undefined;
      const copy = reused ?? (data.slice() as TypedArray);
      if (reused) copyInto(reused, data);
      return { version: view.version, meta: view.meta, data: copy, scans: 0 };
    });
    return this.#newest;
  }

  #pick(main: LiveArray, view: LiveView): LiveArray {
    return this.#array === null ? main : view.array(this.#array);
  }
}

function copyInto(target: TypedArray, source: TypedArray): void {
  const bytes = (view: TypedArray) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  bytes(target).set(bytes(source));
}
