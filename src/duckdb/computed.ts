import {
  BIGINT,
  DOUBLE,
  DuckDBScalarFunction,
  VARCHAR,
  type DuckDBBigIntVector,
  type DuckDBConnection,
  type DuckDBType,
} from "@duckdb/node-api";
import { fillComputed } from "./columns.ts";
import type { Computed, SeenVersion } from "./table.ts";
import type { Snapshots } from "./snapshot.ts";

const types = { BIGINT, DOUBLE, VARCHAR } as const satisfies Record<Computed["type"], DuckDBType>;

let functions = 0;

/**
 * Makes the column a function of SQL, of the snapshot's number and the row's. So the scan stays with DuckDB's threads, and DuckDB calls
 * JavaScript for what is left of the rows after its filters.
 */
export function registerComputed(
  connection: DuckDBConnection,
  { type, value }: Computed,
  snapshots: Snapshots,
): string {
  const name = `memblast_value_${++functions}`;
  connection.registerScalarFunction(
    DuckDBScalarFunction.create({
      name,
      parameterTypes: [BIGINT, BIGINT],
      returnType: types[type],
      mainFunction: (info, input, output) => {
        try {
          const ids = input.getColumnVector(0) as DuckDBBigIntVector;
          const rows = input.getColumnVector(1) as DuckDBBigIntVector;
          fillComputed(output, (i) => value(Number(rows.getItem(i)), seenIn(snapshots, ids.getItem(i))));
        } catch (error) {
          info.setError(error instanceof Error ? error.message : String(error));
        }
      },
    }),
  );
  return name;
}

function seenIn(snapshots: Snapshots, id: bigint | null): SeenVersion {
  const seen = snapshots.seen(Number(id));
  if (!seen)
    throw new Error("the version that this query began with is forgotten: too many queries began since");
  return seen;
}
