/** The command line of the clients that follow some rows. */
import { flag, number, numbers, text } from "../options.ts";

export const sliceFlags = {
  server: text("127.0.0.1:7020", "the slice server to follow", "ADDRESS"),
  tickers: numbers("the rows to follow (2,50,75)", "LIST"),
  window: number(5, "how many columns of them, from the first", "N", { min: 1 }),
  json: flag("prints a JSON line for each version"),
};

/** The rows asked for, each once. */
export function chosenTickers(given: readonly number[] = [2, 50, 75]): readonly number[] {
  return [...new Set(given)];
}
