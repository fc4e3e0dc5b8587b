/**
 * The circular window that ticker servers and clients share: an f64 array of [tickers, window], one column per tick, the
 * oldest column overwritten by the newest. The metadata of each version says where it stands; symbols travel as an
 * array of their own, so they cross the network once.
 */
import { z } from "zod";

/** The metadata of a version. */
export const windowMeta = z.object({
  /** The column that was written last. */
  index: z.number().int().nonnegative(),
  /** How many columns have been written since the start: from `window` on all are valid, before that `tick` of them. */
  tick: z.number().int().nonnegative(),
  /** When, ISO 8601. */
  time: z.string(),
  /** The date that a replayed column stands for. */
  date: z.string().optional(),
});

export type WindowMeta = z.infer<typeof windowMeta>;

/** The metadata of a window, or undefined where there is none yet. */
export function readMeta(meta: unknown): WindowMeta | undefined {
  return windowMeta.safeParse(meta).data;
}

/** How many columns hold prices: columns 0 to this, as the window fills from the left. */
export function validColumns(meta: WindowMeta | undefined, window: number): number {
  return Math.min(meta?.tick ?? 0, window);
}

/** The tick, counted from 1, at which `column` was written. */
export function tickOf(column: number, meta: WindowMeta, window: number): number {
  return meta.tick - ((meta.index - column + window) % window);
}

/** The valid prices of one ticker from the oldest to the newest; `row` is its line of the window. */
export function inOrder(row: ArrayLike<number>, meta: WindowMeta): number[] {
  const window = row.length;
  const valid = validColumns(meta, window);
  return Array.from({ length: valid }, (_, i) => row[(meta.index - valid + 1 + i + window) % window] ?? NaN);
}

/** Mean of the prices that are there (NaN is a missing price), NaN if none is. */
export function mean(prices: readonly number[]): number {
  const there = prices.filter((price) => !Number.isNaN(price));
  return there.reduce((sum, price) => sum + price, 0) / there.length;
}

/** Bytes of one symbol in the `symbols` array. */
export const symbolBytes = 16;

/** Symbols as the rows of a u8 array of [tickers, {@link symbolBytes}], UTF-8, zeros after the end. */
export function encodeSymbols(symbols: readonly string[]): Uint8Array {
  const bytes = new Uint8Array(symbols.length * symbolBytes);
  symbols.forEach((symbol, i) =>
    new TextEncoder().encodeInto(symbol, bytes.subarray(i * symbolBytes, (i + 1) * symbolBytes)),
  );
  return bytes;
}

export function decodeSymbols(bytes: Uint8Array): string[] {
  const decoder = new TextDecoder();
  return Array.from({ length: bytes.length / symbolBytes }, (_, i) => {
    const row = bytes.subarray(i * symbolBytes, (i + 1) * symbolBytes);
    const end = row.indexOf(0);
    return decoder.decode(row.subarray(0, end < 0 ? symbolBytes : end));
  });
}
