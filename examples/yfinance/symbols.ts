/** `--tickers`: symbols with commas between them, or a CSV file of them. */
import { symbolBytes } from "../tickers/window.ts";

const tickersMax = 10_000;

/** Upper-case, as Yahoo writes them. Throws a sentence that says what is wrong. */
export async function readSymbols(option: string): Promise<string[]> {
  const isFile = /\.(csv|txt)$/i.test(option) || option.includes("/");
  if (!isFile) return checked(option.split(","), "--tickers");
  const file = Bun.file(option);
  if (!(await file.exists())) throw new Error(`--tickers: there is no file ${option}`);
  return checked(column(await file.text()), option);
}

/** The column that is headed symbol or ticker; without such a heading the first one, from its first line on. */
function column(csv: string): string[] {
  const rows = csv
    .split(/\r?\n/)
    .filter((line) => line.trim() !== "" && !line.startsWith("#"))
    .map((line) => line.split(",").map((cell) => cell.trim().replace(/^"(.*)"$/, "$1")));
  const heading = (rows[0] ?? []).findIndex((cell) => /^(symbol|ticker)s?$/i.test(cell));
  return heading < 0 ? rows.map((row) => row[0] ?? "") : rows.slice(1).map((row) => row[heading] ?? "");
}

function checked(given: readonly string[], where: string): string[] {
  const symbols = given.map((symbol) => symbol.trim().toUpperCase());
  if (symbols.length === 0 || symbols.length > tickersMax)
    throw new Error(`${where} has ${symbols.length} symbols; from 1 to ${tickersMax} are possible`);
  const bad = symbols.find((symbol) => !/^[A-Z0-9^=.&-]+$/.test(symbol) || symbol.length > symbolBytes);
  if (bad !== undefined) throw new Error(`${where} has "${bad}", which is no symbol of Yahoo's`);
  return [...new Set(symbols)];
}
