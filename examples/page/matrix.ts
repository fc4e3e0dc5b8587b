import type { NdArray } from "../../src/browser/index.ts";

/** The picked part of an array as rows and columns: its last two axes, or its only one as a row. */
export interface Matrix {
  readonly values: ArrayLike<number>;
  readonly rows: number;
  readonly columns: number;
}

export function matrixOf(array: NdArray): Matrix {
  const { data, shape } = array;
  const wide = data instanceof BigInt64Array || data instanceof BigUint64Array;
  return {
    values: wide ? Float64Array.from(data, Number) : data,
    rows: shape.length < 2 ? 1 : shape.at(-2)!,
    columns: shape.at(-1) ?? 1,
  };
}

/** From the least to the greatest value. It widens at once and narrows slowly, so that the picture is calm. */
export class Range {
  low = 0;
  high = 1;
  #isNew = true;

  restart(): void {
    this.#isNew = true;
  }

  take({ values }: Matrix): void {
    let low = Infinity;
    let high = -Infinity;
    for (let i = 0; i < values.length; i++) {
      const value = values[i]!;
      if (value < low && value !== -Infinity) low = value;
      if (value > high && value !== Infinity) high = value;
    }
    if (low > high) return;
    const slow = this.#isNew ? 1 : 0.03;
    this.low = low < this.low ? low : this.low + (low - this.low) * slow;
    this.high = high > this.high ? high : this.high + (high - this.high) * slow;
    this.#isNew = false;
  }
}
