/** Follows ticker_server.ts and answers SQL over the live window: DuckDB reads the memory, there is no copy in a table. */
import type { DuckDBConnection } from "@duckdb/node-api";
import { liveTable } from "../../src/duckdb/index.ts";
import { start, type Node } from "../../src/index.ts";
import { digests } from "../digests.ts";
import { follow } from "../follow.ts";
import { LiveSql } from "../live_sql.ts";
import { commandLine, flag, optionalText, text } from "../options.ts";
import { program } from "../program.ts";
import { decodeSymbols, readMeta, tickOf, validColumns, type WindowMeta } from "./window.ts";

const perTicker = `SELECT ticker, avg(price) AS mean, min(price) AS min, max(price) AS max, arg_max(price, tick) AS last
FROM ticks WHERE NOT isnan(price) GROUP BY ticker ORDER BY ticker`;

const options = commandLine({
  command: "bun examples/tickers/ticker_duckdb_client.ts",
  about: `Follows a ticker server and asks DuckDB about the live window at every update.

In SQL there are "prices" (a column per ticker, a row per tick, and "tick", its number) and "ticks" (ticker, tick, price).
Without --sql it asks for mean, min, max and last price per ticker.`,
  flags: {
    server: text("127.0.0.1:7011", "the ticker server to follow", "ADDRESS"),
    sql: optionalText("a query of your own", "QUERY"),
    json: flag("prints the rows as a JSON line for each version"),
  },
  examples: [
    "bun examples/tickers/ticker_duckdb_client.ts",
    'bun examples/tickers/ticker_duckdb_client.ts --sql "SELECT tick, MSFT FROM prices ORDER BY tick DESC LIMIT 5"',
    'bun examples/tickers/ticker_duckdb_client.ts --sql "SELECT ticker, stddev(price) FROM ticks GROUP BY ticker" --json',
  ],
});

/** Gives the connection the two names under which the window of `node` can be asked about. */
async function openTables(connection: DuckDBConnection, node: Node): Promise<void> {
  const [symbols, window] = node.read((a, view) => [
    decodeSymbols(view.array("symbols").data as Uint8Array),
    a.shape[1] ?? 0,
  ]);
  await liveTable(connection, node, {
    name: "prices",
    rows: "last",
    columns: symbols,
    rowCount: ({ meta }) => validColumns(readMeta(meta), window),
    computed: {
      tick: {
        type: "BIGINT",
        value: (column, { meta }) => BigInt(tickOf(column, meta as WindowMeta, window)),
      },
    },
  });
  await connection.run(
    "CREATE TEMP VIEW ticks AS UNPIVOT prices ON COLUMNS(* EXCLUDE tick) INTO NAME ticker VALUE price",
  );
}

await program(options, async (self) => {
  const { server, sql = perTicker } = options;
  self.waitsFor(server);
  await using node = await start("ticker_duckdb_client", { server });
  await node.ready;
  await using duckdb = await LiveSql.open();
  await openTables(duckdb.connection, node);
  await follow(self, node, server, {
    show: (title) => duckdb.show(self, sql, `SQL over the live window, ${title}`),
    holds: async () => {
      const { rows } = await duckdb.ask(perTicker);
      const values = Object.fromEntries(rows.map(([symbol, mean]) => [`mean ${symbol}`, mean as number]));
      return { digests: digests(node, "symbols"), values };
    },
  });
});
