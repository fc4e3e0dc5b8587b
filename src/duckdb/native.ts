import { type DuckDBTableFunction, type DuckDBTableFunctionInitInfo, version } from "@duckdb/node-api";
import { type Dtype, dtypeBytes } from "../array/dtype.ts";
import { fail } from "../errors.ts";
import { check } from "../memory/failure.ts";
import { cString, type ExternalReader, externalReader, library } from "../memory/library.ts";
import type { ScanColumn } from "./columns.ts";
import type { Snapshot } from "./snapshot.ts";

/** Type tags of @duckdb/node-bindings. The first External holds a struct that begins with the handle, the second the handle itself. */
const tableFunctionTag = BigUint64Array.of(0xbecf7a8ceba84520n, 0xbfc47c84a51544efn);
const initInfoTag = BigUint64Array.of(0x45b24025b7b443d9n, 0xa2978778fe81ad51n);

/** Releases of DuckDB whose bindings were looked at: another one may arrange its Externals otherwise, and is scanned in JavaScript. */
const knownReleases = /^v1\.5\./;

/** As ffi/duckdb.c numbers them; else the bytes of an element, which are copied. */
const sources = { bool: 16, f16: 17, row: 18, seen: 19 } as const;

function sourceOf(dtype: Dtype): number {
  return dtype === "bool" || dtype === "f16" ? sources[dtype] : dtypeBytes(dtype);
}

/** Scans that DuckDB's threads carry out by themselves, all of them at once, in C. */
export class NativeScans {
  readonly #read: ExternalReader;

  private constructor(read: ExternalReader) {
    this.#read = read;
  }

  /** Null where DuckDB's C interface is out of reach, or not wanted: `MEMBLAST_DUCKDB_SCAN=js`. */
  static async open(): Promise<NativeScans | null> {
    if (process.env["MEMBLAST_DUCKDB_SCAN"] === "js" || !knownReleases.test(version())) return null;
    if (library.duckdbOpen(cString("libduckdb.so")) < 0) return null;
    try {
      return new NativeScans(await externalReader());
    } catch {
      return null;
    }
  }

  /** Takes over a function that is complete but not registered yet; its init function has to call {@link NativeScans.begin}. */
  adopt(tableFunction: DuckDBTableFunction): void {
    const holder = this.#pointer(tableFunction.table_function, tableFunctionTag);
    library.duckdbAdopt(holder);
  }

  /** Starts a scan of `rowCount` rows. What DuckDB asks for beyond the `columns` that there are is not filled. */
  begin(
    info: DuckDBTableFunctionInitInfo,
    snapshot: Snapshot,
    array: string | null,
    rowCount: number,
    columns: readonly (ScanColumn | undefined)[],
  ): void {
    const { copy, id } = snapshot;
    const { dtype } = copy.array(array);
    const base = copy.offsetOf(array);
    const width = dtypeBytes(dtype);
    const spec = new Float64Array(2 + 3 * columns.length);
    spec[0] = rowCount;
    spec[1] = id;
    columns.forEach((column, c) => {
      if (!column) return;
      const { source } = column;
      if (source.kind === "cells")
        spec.set([sourceOf(dtype), base + source.first * width, source.step * width], 2 + 3 * c);
      else spec[2 + 3 * c] = sources[source.kind];
    });
    const { init_info } = info as unknown as { init_info: unknown };
    const pointer = this.#pointer(init_info, initInfoTag);
    check(library.duckdbBegin(pointer, copy.held.handle, spec, columns.length), "scan the array");
  }

  #pointer(value: unknown, tag: BigUint64Array): number {
    return this.#read(value, tag) ?? fail("LIBRARY", "This release of @duckdb/node-bindings is not known");
  }
}
