import { BIGINT, DuckDBTableFunction, type DuckDBConnection } from "@duckdb/node-api";
import { fail } from "../errors.ts";
import { guardClosing } from "./closing.ts";
import { duckdbTypes, type ScanColumn } from "./columns.ts";
import { registerComputed } from "./computed.ts";
import { type Layout, quoted, rowCountIn } from "./layout.ts";
import type { LiveTable, LiveTableOptions } from "./table.ts";
import { NativeScans } from "./native.ts";
import { TableScan } from "./scan.ts";
import { type LiveNode, Snapshots } from "./snapshot.ts";

let tables = 0;

/** What the tables of one connection that show one node have in common. */
const shared = new WeakMap<DuckDBConnection, WeakMap<LiveNode, Snapshots>>();

function snapshotsOf(connection: DuckDBConnection, node: LiveNode): Snapshots {
  let nodes = shared.get(connection);
  if (!nodes) shared.set(connection, (nodes = new WeakMap()));
  let snapshots = nodes.get(node);
  if (!snapshots) nodes.set(node, (snapshots = new Snapshots(node)));
  return snapshots;
}

/** The driver for `@duckdb/node-api`: a table function that reads snapshots. */
export async function openScanned(
  connection: DuckDBConnection,
  node: LiveNode,
  layout: Layout,
  options: LiveTableOptions,
): Promise<LiveTable> {
  const { array, names } = layout;
  const snapshots = snapshotsOf(connection, node);
  const native = await NativeScans.open();
  const hidden = hiddenColumns(names, layout.computed.length > 0);
  const cells = layout.cells.map(({ name, first }) => ({
    name,
    type: duckdbTypes[layout.dtype],
    source: { kind: "cells", first, step: layout.rowStep } as const,
  }));
  const scan = new TableScan(
    {
      name: options.name,
      array,
      columns: [...hidden, ...cells],
      rowsMax: layout.rows,
      rowCount: (seen) => rowCountIn(layout, options, seen),
    },
    snapshots,
    native,
  );
  const computed = layout.computed.map(
    ([name, one]) => [name, registerComputed(connection, one, snapshots)] as const,
  );
  const drop = await register(connection, options.name, scan, native, selection(hidden, computed));
  const unguard = guardClosing(connection);
  snapshots.enter(array);
  const close = async () => {
    if (scan.closed) return;
    scan.closed = true;
    unguard();
    snapshots.leave(array);
    // A connection that is closed already has no names to give back.
    await drop().catch(() => {});
  };
  return { name: options.name, columns: names, close, [Symbol.asyncDispose]: close };
}

/**
 * Columns of the scan under names that no other has: the first one, which DuckDB asks for when it only counts rows, costs nothing, and
 * computed ones are made of both.
 */
function hiddenColumns(names: readonly string[], isComputing: boolean): ScanColumn[] {
  const taken = new Set(names.map((name) => name.toLowerCase()));
  return (isComputing ? (["seen", "row"] as const) : (["seen"] as const)).map((kind) => {
    let name: string = kind;
    while (taken.has(name)) name += "_";
    return { name, type: BIGINT, source: { kind } };
  });
}

/** What stands between SELECT and FROM. */
function selection(
  hidden: readonly ScanColumn[],
  computed: readonly (readonly [name: string, value: string])[],
): string {
  const inputs = hidden.map(({ name }) => quoted(name)).join(", ");
  const values = computed.map(([name, value]) => `${value}(${inputs}) AS ${quoted(name)}`);
  return [`* EXCLUDE (${inputs})`, ...values].join(", ");
}

/** Registers the table function under a name of its own, and the view and the macro through which SQL reaches it. */
async function register(
  connection: DuckDBConnection,
  table: string,
  scan: TableScan,
  native: NativeScans | null,
  columns: string,
): Promise<() => Promise<void>> {
  const name = quoted(table);
  const scanName = `memblast_scan_${++tables}`;
  const tableFunction = DuckDBTableFunction.create({
    name: scanName,
    namedParameterTypes: { transaction: BIGINT },
    supportsProjectionPushdown: true,
    bindFunction: guarded((info) => scan.bind(info)),
    initFunction: guarded((info) => scan.init(info)),
    mainFunction: guarded((info, chunk) => scan.produce(info, chunk)),
  });
  native?.adopt(tableFunction);
  connection.registerTableFunction(tableFunction);
  // Two scans know by the transaction's number that they belong to one query, and only SQL can ask for it.
  const select = `SELECT ${columns} FROM ${scanName}(transaction := txid_current()::BIGINT)`;
  try {
    await connection.run(`CREATE TEMP VIEW ${name} AS ${select}`);
    await connection.run(`CREATE TEMP MACRO ${name}() AS TABLE ${select}`);
  } catch (error) {
    fail(
      "EXISTS",
      `DuckDB has no room for a live table "${table}"; close the one before or take another name`,
      {},
      error,
    );
  }
  return async () => {
    await connection.run(`DROP VIEW IF EXISTS temp.${name}`);
    await connection.run(`DROP MACRO TABLE IF EXISTS temp.${name}`);
  };
}

/** DuckDB's threads wait for these callbacks: what they throw has to become the error of the query. */
function guarded<I extends { setError(error: string): void }, A extends unknown[]>(
  callback: (info: I, ...rest: A) => void,
): (info: I, ...rest: A) => void {
  return (info, ...rest) => {
    try {
      callback(info, ...rest);
    } catch (error) {
      info.setError(error instanceof Error ? error.message : String(error));
    }
  };
}
