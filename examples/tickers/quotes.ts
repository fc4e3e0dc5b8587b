/** Where prices come from: a random walk, or real ones from a CSV file. */
import { normal } from "../random.ts";
import { symbolBytes } from "./window.ts";

/** One column of the window. */
export interface Quote {
  /** A price per symbol; NaN where there is none. */
  readonly prices: readonly number[];
  readonly date?: string;
}

/** An endless series of quotes for the symbols. */
export interface QuoteSource {
  readonly symbols: readonly string[];
  next(): Quote;
}

const stepPercent = 0.2;

/** Prices that start between 20 and 500 and move by about 0.2 % at a time. */
export function randomWalk(symbols: readonly string[], random: () => number): QuoteSource {
  let prices = symbols.map(() => 20 + 480 * random());
  return {
    symbols,
    next() {
      prices = prices.map((price) => price * Math.exp((stepPercent / 100) * normal(random)));
      return { prices: prices.map((price) => Math.round(price * 100) / 100) };
    },
  };
}

/**
 * Plays the rows `symbol,date,price` of a CSV text, one date at a time in the order of the dates, over and over. A
 * symbol without a price at a date is NaN there.
 */
export function replay(csv: string, wanted: readonly string[] | number | undefined): QuoteSource {
  const { bySymbol, dates } = read(csv);
  const known = [...bySymbol.keys()];
  const symbols = typeof wanted === "number" ? known.slice(0, wanted) : (wanted ?? known);
  const missing = symbols.filter((symbol) => !bySymbol.has(symbol));
  if (missing.length > 0)
    throw new Error(`no prices for ${missing.join(", ")}; there are ${known.join(", ")}`);
  let at = 0;
  return {
    symbols,
    next() {
      const date = dates[at++ % dates.length] ?? "";
      return { date, prices: symbols.map((symbol) => bySymbol.get(symbol)?.get(date) ?? NaN) };
    },
  };
}

/** `--tickers`: a number of tickers, or their symbols with commas between them; undefined for an empty text. */
export function parseTickers(text: string): readonly string[] | number | undefined {
  if (text === "") return undefined;
  if (/^\d+$/.test(text)) {
    const count = Number(text);
    if (count < 1 || count > 100_000) throw new Error(`--tickers must be from 1 to 100000, not ${text}`);
    return count;
  }
  const symbols = text.split(",").map((symbol) => symbol.trim());
  const twin = symbols.find((symbol, i) => symbols.indexOf(symbol) !== i);
  if (twin) throw new Error(`--tickers names ${twin} twice`);
  const bad = symbols.find((symbol) => symbol === "" || Buffer.byteLength(symbol) > symbolBytes);
  if (bad !== undefined) throw new Error(`--tickers has a symbol of ${bad.length} characters: "${bad}"`);
  return symbols;
}

/** The symbols of a random walk: those wanted, or AAA, AAB, ... for a number of them. */
export function symbolsFor(wanted: readonly string[] | number): readonly string[] {
  if (typeof wanted !== "number") return wanted;
  const letter = (n: number) => String.fromCharCode(65 + (n % 26));
  return Array.from({ length: wanted }, (_, i) => {
    const tail = letter(Math.floor(i / 676)) + letter(Math.floor(i / 26)) + letter(i);
    return i < 17_576 ? tail : `${tail}${Math.floor(i / 17_576)}`;
  });
}

function read(csv: string) {
  const bySymbol = new Map<string, Map<string, number>>();
  const dates = new Set<string>();
  const [header, ...lines] = csv.trim().split(/\r?\n/);
  if (header !== "symbol,date,price")
    throw new Error(`a CSV file of prices starts with "symbol,date,price", not "${header}"`);
  lines.forEach((line, i) => {
    const [symbol = "", date = "", text = ""] = line.split(",");
    const price = Number(text);
    if (!symbol || !text || !Number.isFinite(price) || Number.isNaN(Date.parse(date))) {
      throw new Error(`line ${i + 2} of the prices is not symbol,date,price: "${line}"`);
    }
    dates.add(date);
    const own = bySymbol.get(symbol) ?? new Map<string, number>();
    bySymbol.set(symbol, own.set(date, price));
  });
  if (dates.size === 0) throw new Error("the file of prices has no line with a price");
  return { bySymbol, dates: [...dates].sort((a, b) => Date.parse(a) - Date.parse(b)) };
}
