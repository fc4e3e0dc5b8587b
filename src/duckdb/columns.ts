import {
  BIGINT,
  BOOLEAN,
  DOUBLE,
  FLOAT,
  INTEGER,
  SMALLINT,
  TINYINT,
  UBIGINT,
  UINTEGER,
  USMALLINT,
  UTINYINT,
  type DuckDBType,
  type DuckDBVector,
} from "@duckdb/node-api";
import type { Dtype, TypedArray } from "../array/dtype.ts";

/** The DuckDB type of a dtype. DuckDB has no half floats: f16 arrives as FLOAT, without loss. */
export const duckdbTypes: Readonly<Record<Dtype, DuckDBType>> = {
  bool: BOOLEAN,
  i8: TINYINT,
  u8: UTINYINT,
  i16: SMALLINT,
  u16: USMALLINT,
  i32: INTEGER,
  u32: UINTEGER,
  i64: BIGINT,
  u64: UBIGINT,
  f16: FLOAT,
  f32: FLOAT,
  f64: DOUBLE,
};

/** Where the values of a column come from: elements of the array, the row's number, or the snapshot's. */
export type ColumnSource =
  | { readonly kind: "cells"; readonly first: number; readonly step: number }
  | { readonly kind: "row" }
  | { readonly kind: "seen" };

export interface ScanColumn {
  readonly name: string;
  readonly type: DuckDBType;
  readonly source: ColumnSource;
}

/** Copies `vector.itemCount` elements of `data`, from index `first` in steps of `step`, into the vector. */
export function fillColumn(vector: DuckDBVector, data: TypedArray, first: number, step: number): void {
  const count = vector.itemCount;
  const items = (vector as unknown as { items?: TypedArray }).items;
  if (items === undefined) fillBooleans(vector, data, first, step);
  else if (step === 1) items.set(data.subarray(first, first + count) as never);
  else gather(items, data, first, step, count);
  vector.flush();
}

/** Fills the vector with `value(0)`, `value(1)`, ...; null and undefined become NULL. */
export function fillComputed(vector: DuckDBVector, value: (index: number) => unknown): void {
  for (let i = 0; i < vector.itemCount; i++) vector.setItem(i, (value(i) ?? null) as never);
  vector.flush();
}

function gather(items: TypedArray, data: TypedArray, first: number, step: number, count: number): void {
  for (let i = 0, at = first; i < count; i++, at += step) items[i] = data[at] as never;
}

function fillBooleans(vector: DuckDBVector, data: TypedArray, first: number, step: number): void {
  for (let i = 0; i < vector.itemCount; i++) vector.setItem(i, (data[first + i * step] !== 0) as never);
}
