/** Follows yfinance_server.ts and answers SQL over the live window of quotes. */
import type { DuckDBConnection } from "@duckdb/node-api";
import { liveTable } from "../../src/duckdb/index.ts";
import { type Node, start } from "../../src/index.ts";
import { digests } from "../digests.ts";
import { follow } from "../follow.ts";
import { LiveSql } from "../live_sql.ts";
import { commandLine, flag, optionalText, text } from "../options.ts";
import { program } from "../program.ts";
import { decodeSymbols, tickOf, validColumns, type WindowMeta } from "../tickers/window.ts";
import { readQuoteMeta } from "./quote_window.ts";

const perTicker = `SELECT ticker, avg(price) AS mean, min(price) AS min, max(price) AS max,
  100 * (arg_max(price, tick) / arg_min(price, tick) - 1) AS "change %", 100 * stddev_samp(step) AS "volatility %"
FROM (
  SELECT *, price / lag(price IGNORE NULLS) OVER (PARTITION BY ticker ORDER BY tick) - 1 AS step FROM quotes
) GROUP BY ticker ORDER BY ticker`;

const options = commandLine({
  command: "bun examples/yfinance/yfinance_duckdb_client.ts",
  about: `Follows the quotes of a yfinance server and asks DuckDB about the live window at every update.

In SQL there is "quotes" (ticker, tick, price; a missing price is NULL) and "prices" (a column per ticker, a row per tick, and
"tick", its number; a missing price is NaN). Without --sql it asks per ticker for mean, min, max, the change from the oldest price to
the newest, and the volatility: the standard deviation of the changes from tick to tick.`,
  flags: {
    server: text("127.0.0.1:7012", "the yfinance server to follow", "ADDRESS"),
    sql: optionalText("a query of your own", "QUERY"),
    checkHash: flag("verifies every update by a hash, and repairs what differs"),
    json: flag("prints the rows as a JSON line for each version"),
  },
  examples: [
    "bun examples/yfinance/yfinance_duckdb_client.ts",
    'bun examples/yfinance/yfinance_duckdb_client.ts --sql "SELECT * FROM quotes WHERE price IS NULL"',
    'bun examples/yfinance/yfinance_duckdb_client.ts --sql "SELECT tick, MSFT / AAPL AS ratio FROM prices ORDER BY tick" --json',
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
    rowCount: ({ meta }) => validColumns(readQuoteMeta(meta), window),
    computed: {
      tick: {
        type: "BIGINT",
        value: (column, { meta }) => BigInt(tickOf(column, meta as WindowMeta, window)),
      },
    },
  });
  await connection.run(`CREATE TEMP VIEW quotes AS SELECT ticker, tick, nullif(price, 'nan'::DOUBLE) AS price
    FROM (UNPIVOT prices ON COLUMNS(* EXCLUDE tick) INTO NAME ticker VALUE price)`);
}

await program(options, async (self) => {
  const { server, checkHash, sql = perTicker } = options;
  self.waitsFor(server);
  await using node = await start("yfinance_duckdb_client", { server, checkHash });
  await node.ready;
  await using duckdb = await LiveSql.open();
  await openTables(duckdb.connection, node);
  await duckdb.ask(sql);
  await follow(self, node, server, {
    show(title) {
      const { failure } = readQuoteMeta(node.meta) ?? {};
      duckdb.show(
        self,
        sql,
        `SQL over live quotes, ${title}${failure ? `; last poll failed: ${failure}` : ""}`,
      );
    },
    async holds() {
      const { rows } = await duckdb.ask(perTicker);
      const values = Object.fromEntries(
        rows.map(([ticker, mean]) => [`mean ${ticker}`, mean as number | null]),
      );
      return { digests: digests(node, "symbols"), values };
    },
  });
});
