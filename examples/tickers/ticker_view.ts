/** What a node with a window of prices looks like: last price, movement, rolling mean and a sparkline per ticker. */
import type { Node } from "../../src/index.ts";
import type { View } from "../program.ts";
import { decimal, move, sparkline, table, type Paint } from "../terminal.ts";
import { decodeSymbols, inOrder, mean, readMeta, type WindowMeta } from "./window.ts";

interface TickerRow {
  readonly symbol: string;
  /** Valid prices, oldest first. */
  readonly prices: readonly number[];
  /** Mean of the valid part of the window. */
  readonly mean: number;
}

const shownMax = 40;

/** The first tickers of one version. */
function readTickers(node: Node, countMax = shownMax): { meta: WindowMeta | undefined; rows: TickerRow[] } {
  return node.read((a, view) => {
    const meta = readMeta(view.meta);
    const symbols = decodeSymbols(view.array("symbols").data as Uint8Array).slice(0, countMax);
    const rows = symbols.map((symbol, row) => {
      const prices = meta ? inOrder(a.row(row).data as Float64Array, meta) : [];
      return { symbol, prices, mean: mean(prices) };
    });
    return { meta, rows };
  });
}

/** Mean of the valid part of the window by ticker, null without a price: what is compared between programs. */
export function means(node: Node): Record<string, number | null> {
  const { rows } = readTickers(node, Infinity);
  return Object.fromEntries(
    rows.map(({ symbol, mean }) => [`mean ${symbol}`, Number.isNaN(mean) ? null : mean]),
  );
}

const sparklineWidth = 32;

/** `title` is asked at each view. */
export function tickerView(node: Node, ink: Paint, title: () => string): View {
  const versions = () =>
    Object.entries(node.version)
      .map(([name, version]) => `${name} ${version}`)
      .join(", ");
  const where = (meta: WindowMeta | undefined) =>
    meta ? `tick ${meta.tick}, column ${meta.index}${meta.date ? `, ${meta.date}` : ""}` : "no tick yet";
  return {
    lines() {
      const { meta, rows } = readTickers(node);
      const cells = rows.map(({ symbol, prices, mean }) => [
        symbol,
        move(prices.at(-1) ?? NaN, prices.at(-2), ink),
        decimal(mean),
        sparkline(prices, sparklineWidth),
      ]);
      const columns = [
        { title: "ticker", align: "left" as const },
        { title: "last  " },
        { title: "mean" },
        { title: `last ${sparklineWidth} ticks`, align: "left" as const },
      ];
      return [
        title(),
        `versions ${ink.bold(versions())}  ${ink.dim(where(meta))}`,
        ...table(columns, cells, ink),
      ];
    },
    line() {
      const { meta, rows } = readTickers(node);
      const means = rows.slice(0, 6).map(({ symbol, mean }) => `${symbol} ${decimal(mean)}`);
      return `versions ${versions()}; ${where(meta)}; means ${means.join(", ")}${rows.length > 6 ? ", ..." : ""}; ${title()}`;
    },
    json() {
      const { meta, rows } = readTickers(node);
      const last = rows.map(({ symbol, prices, mean }) => ({ symbol, last: prices.at(-1) ?? null, mean }));
      return { version: node.version, meta: meta ?? null, tickers: last };
    },
  };
}
