/** Follows some rows of slice_server.ts and answers SQL over the mapped memory at every update. */
import { liveTable } from "../../src/duckdb/index.ts";
import { start } from "../../src/index.ts";
import { follow } from "../follow.ts";
import { LiveSql } from "../live_sql.ts";
import { commandLine, optionalText } from "../options.ts";
import { program } from "../program.ts";
import { chosenTickers, sliceFlags } from "./slice_options.ts";
import { holdings, mainRows } from "./slice_view.ts";

const perTicker = `SELECT ticker, avg(price) AS mean, min(price) AS min, max(price) AS max, stddev(price) AS stddev
FROM (UNPIVOT prices ON COLUMNS(* EXCLUDE slot) INTO NAME ticker VALUE price)
GROUP BY ticker ORDER BY len(ticker), ticker`;

const options = commandLine({
  command: "bun examples/slices/slice_duckdb_client.ts",
  about: `Follows some rows of a slice server and asks DuckDB about them at every update.

In SQL there is "prices": a column per ticker (ticker_2, ticker_50, ...), a row per column of the window, and "slot", its
number. Without --sql it asks for mean, min, max and standard deviation per ticker.`,
  flags: { ...sliceFlags, sql: optionalText("a query of your own", "QUERY") },
  examples: [
    "bun examples/slices/slice_duckdb_client.ts",
    'bun examples/slices/slice_duckdb_client.ts --sql "SELECT avg(ticker_2), corr(ticker_2, ticker_50) FROM prices"',
    'bun examples/slices/slice_duckdb_client.ts --tickers 0,1 --sql "SELECT slot, ticker_1 - ticker_0 AS spread FROM prices"',
  ],
});

await program(options, async (self) => {
  const { server, window, sql = perTicker } = options;
  const tickers = chosenTickers(options.tickers);
  self.waitsFor(server);
  await using node = await start("slice_duckdb_client", {
    server,
    shape: [tickers.length, window],
    maps: tickers.map((ticker, row) => [[ticker, 0], [1, window], [row, 0], null]),
  });
  await using duckdb = await LiveSql.open();
  await using _prices = await liveTable(duckdb.connection, node, {
    name: "prices",
    rows: "last",
    columns: tickers.map((ticker) => `ticker_${ticker}`),
    computed: { slot: { type: "BIGINT", value: (row) => BigInt(row) } },
  });
  await follow(self, node, server, {
    show: (title) => duckdb.show(self, sql, `SQL over live memory, ${title}`),
    holds: async () => {
      const { rows } = await duckdb.ask(perTicker);
      const values = Object.fromEntries(rows.map(([ticker, mean]) => [`mean ${ticker}`, mean as number]));
      return { digests: holdings(node, mainRows(tickers)).digests, values };
    },
  });
});
