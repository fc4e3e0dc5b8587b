import type { DuckDBConnection } from "@duckdb/node-api";

/** How many live tables a connection has. */
const tables = new WeakMap<DuckDBConnection, number>();

/**
 * Makes closing the connection safe as long as it has live tables; returns how to stop that.
 *
 * DuckDB does not survive that a connection is closed under a running query: with tables of its own it crashed in 5 of 8 tries, and a
 * query that waits for a callback on this thread would wait for ever, and this thread for the query. So the query is interrupted, and
 * the connection closed when one more query, which has to wait for the others, has come back.
 */
export function guardClosing(connection: DuckDBConnection): () => void {
  const before = tables.get(connection) ?? 0;
  tables.set(connection, before + 1);
  if (before === 0) connection.disconnectSync = () => closeLater(connection);
  return () => {
    const left = tables.get(connection)! - 1;
    tables.set(connection, left);
    if (left === 0 && !closing.has(connection))
      delete (connection as Partial<DuckDBConnection>).disconnectSync;
  };
}

const closing = new WeakSet<DuckDBConnection>();

function closeLater(connection: DuckDBConnection): void {
  if (closing.has(connection)) return;
  closing.add(connection);
  const last = Object.assign(
    Object.create(Object.getPrototypeOf(connection)),
    connection,
  ) as DuckDBConnection;
  delete (last as Partial<DuckDBConnection>).disconnectSync;
  refuseQueries(connection);
  last.interrupt();
  // Not at once: a query that was started in this very moment has to reach DuckDB first.
  setTimeout(async () => {
    last.interrupt();
    await last.run("SELECT 1").catch(() => {});
    last.disconnectSync();
  }, 1);
}

/** As a connection that is closed does. */
function refuseQueries(connection: DuckDBConnection): void {
  Object.defineProperty(connection, "connection", {
    get() {
      throw new Error("connection disconnected");
    },
  });
}
