/** How rows of prices look: a few of them cell by cell, or the newest price of every one. */
import type { NdArray, Node, View as Version } from "../../src/index.ts";
import { digests, sha256 } from "../digests.ts";
import type { Holdings } from "../follow.ts";
import type { View } from "../program.ts";
import { decimal, move, table, type Paint } from "../terminal.ts";
import { mean, readMeta } from "../tickers/window.ts";

/** One row of the server, or the part of it that a client follows. */
export interface Slice {
  readonly ticker: number;
  /** In the order in which they lie in memory: the newest is wherever the metadata's `index` says. */
  readonly prices: Float64Array;
}

/** Takes the rows out of one version. */
export type ReadSlices = (main: NdArray, version: Version) => readonly Slice[];

/** All rows of the main array; the array's row `i` is `tickers[i]`, or `i` itself. */
export function mainRows(tickers?: readonly number[]): ReadSlices {
  return (a) =>
    Array.from({ length: a.shape[0] ?? 0 }, (_, i) => ({
      ticker: tickers?.[i] ?? i,
      prices: a.row(i).data as Float64Array,
    }));
}

/** What is compared with the other programs: the bytes of every row, and their means. */
export function holdings(node: Node, read: ReadSlices): Required<Holdings> {
  return node.read((a, version) => {
    const rows = read(a, version);
    return {
      digests: Object.fromEntries(rows.map(({ ticker, prices }) => [`ticker_${ticker}`, sha256(prices)])),
      values: Object.fromEntries(
        rows.map(({ ticker, prices }) => [`mean ticker_${ticker}`, mean([...prices])]),
      ),
    };
  });
}

/** The same where the main array is the whole of the server's, which is compared too. */
export function wholeHoldings(node: Node): Holdings {
  const { digests: rows, values } = holdings(node, mainRows());
  return { digests: { ...digests(node), ...rows }, values };
}

const cellsMax = 8;

/** Some rows with their cells. It remembers what it showed, so that the next view colours what moved. */
export function sliceView(node: Node, ink: Paint, read: ReadSlices): (title: string) => View {
  const before = new Map<number, number | undefined>();
  const row = ({ ticker, prices }: Slice, index: number) => {
    const newest = move(prices[index] ?? NaN, before.get(ticker), ink);
    before.set(ticker, prices[index]);
    const cells = Array.from(prices.subarray(0, cellsMax), (price, column) =>
      column === index ? ink.bold(decimal(price)) : decimal(price),
    );
    return [String(ticker), newest, decimal(mean([...prices])), ...cells];
  };
  return (title) => ({
    lines: () =>
      node.read((a, version) => {
        const slices = read(a, version);
        const columns = Math.min(cellsMax, slices[0]?.prices.length ?? 0);
        const titles = ["ticker", "newest  ", "mean", ...Array.from({ length: columns }, (_, c) => `[${c}]`)];
        const index = newestColumn(version);
        return [
          title,
          status(node, version),
          ...table(
            titles.map((title) => ({ title })),
            slices.map((slice) => row(slice, index)),
            ink,
          ),
        ];
      }),
    ...plain(node, title, read),
  });
}

const perLine = 10;
const linesMax = 20;

/** The newest price of every row of the main array, ten on a line. */
export function overview(node: Node, ink: Paint): (title: string) => View {
  const read = mainRows();
  let before: (number | undefined)[] = [];
  return (title) => ({
    lines: () =>
      node.read((a, version) => {
        const last = before;
        before = read(a, version).map(({ prices }) => prices[newestColumn(version)]);
        const cells = before.map((price, ticker) => move(price ?? NaN, last[ticker], ink));
        const lines = Array.from(
          { length: Math.min(linesMax, Math.ceil(cells.length / perLine)) },
          (_, i) => [ink.dim(String(i * perLine)), ...cells.slice(i * perLine, (i + 1) * perLine)],
        );
        const more = cells.length - lines.length * perLine;
        const digits = ["", ...Array.from({ length: perLine }, (_, i) => `+${i}  `)];
        return [
          title,
          status(node, version),
          ...table(
            digits.map((title) => ({ title })),
            lines,
            ink,
          ),
          ...(more > 0 ? [ink.dim(`and ${more} more`)] : []),
        ];
      }),
    ...plain(node, title, read),
  });
}

/** The forms without a terminal. */
function plain(node: Node, title: string, read: ReadSlices): Pick<View, "line" | "json"> {
  return {
    line: () =>
      node.read((a, version) => {
        const newest = read(a, version)
          .slice(0, 6)
          .map(({ ticker, prices }) => `ticker ${ticker} ${decimal(prices[newestColumn(version)])}`);
        return `${status(node, version)}; ${newest.join(", ")}; ${title}`;
      }),
    json: () =>
      node.read((a, version) => ({
        version: node.version,
        meta: version.meta ?? null,
        tickers: Object.fromEntries(read(a, version).map(({ ticker, prices }) => [ticker, [...prices]])),
      })),
  };
}

function newestColumn(version: Version): number {
  return readMeta(version.meta)?.index ?? -1;
}

/** Where the window stands, and what following it has cost so far. */
function status(node: Node, version: Version): string {
  const meta = readMeta(version.meta);
  const where = meta ? `tick ${meta.tick}, newest in column ${meta.index}` : "no tick yet";
  const link = node.stats().links.find(({ direction }) => direction === "out");
  return link ? `${where}; ${(link.receivedBytes / 1024).toFixed(1)} KiB received` : where;
}
