/** Follows ticker_server.ts and serves a web page with a sparkline per ticker. */
import { join } from "node:path";
import { commandLine } from "../options.ts";
import { pageFlags, showPage } from "../page/show.ts";
import { program } from "../program.ts";

const options = commandLine({
  command: "bun examples/tickers/ticker_page.ts",
  about:
    "Follows examples/tickers/ticker_server.ts and serves a page: the last price and a sparkline per ticker.",
  flags: pageFlags("127.0.0.1:7011", 5011),
  examples: ["bun examples/tickers/ticker_page.ts", "bun examples/tickers/ticker_page.ts --host 0.0.0.0"],
});

const entry = join(import.meta.dir, "page/index.html");
await program(options, (self) => showPage(self, { ...options, name: "ticker_page", entry }));
