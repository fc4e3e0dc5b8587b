import type { NdArray } from "../../array/ndarray.ts";
import { fail } from "../../errors.ts";

/** The arrays of one image, by name; the main one is null. */
export type Arrays = ReadonlyMap<string | null, NdArray>;

/** What a read sees: one version, whole. Its arrays are read-only. */
export interface View {
  readonly version: number;
  /** Metadata committed with this version; undefined if there never was any. */
  readonly meta: unknown;
  array(name: string): NdArray;
}

/**
 * What a write can change. Valid during the callback; afterwards its arrays throw VIEW_EXPIRED. A typed array taken by `.data` is the
 * memory itself, and nothing stops it from being written later, behind the back of everybody: `node.verify()` finds that, and with
 * MEMBLAST_STRICT=1 such an array is empty (length 0) as soon as the transaction is over.
 */
export interface Transaction {
  array(name: string): NdArray;
  /** Metadata to commit with this version (JSON), undefined for none; reading gives what is there now. @throws INVALID_META */
  meta: unknown;
}

/** What a transaction changes its metadata through. */
export interface MetaWriter {
  workingMeta(): unknown;
  setMeta(value: unknown): void;
}

export class WriteTransaction implements Transaction {
  readonly #arrays: Arrays;
  readonly #writer: MetaWriter;

  constructor(arrays: Arrays, writer: MetaWriter) {
    this.#arrays = arrays;
    this.#writer = writer;
  }

  array(name: string): NdArray {
    return pickArray(this.#arrays, name);
  }

  get meta(): unknown {
    return this.#writer.workingMeta();
  }

  set meta(value: unknown) {
    this.#writer.setMeta(value);
  }
}

export class ReadView implements View {
  readonly version: number;
  readonly #arrays: Arrays;
  readonly #meta: () => unknown;

  constructor(arrays: Arrays, version: number, meta: () => unknown) {
    this.#arrays = arrays;
    this.version = version;
    this.#meta = meta;
  }

  get meta(): unknown {
    return this.#meta();
  }

  array(name: string): NdArray {
    return pickArray(this.#arrays, name);
  }
}

export function pickArray(arrays: Arrays, name: string | null): NdArray {
  return arrays.get(name) ?? unknownArray([...arrays.keys()], name);
}

export function unknownArray(names: (string | null)[], name: string | null): never {
  const known = names.map((each) => each ?? "the main array").join(", ");
  return fail(
    "INVALID_NAME",
    `There is no ${name === null ? "main array" : `array "${name}"`} here, only ${known || "none"}`,
    {
      name,
    },
  );
}
