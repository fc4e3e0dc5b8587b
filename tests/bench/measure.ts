/** One figure beside the limit that was measured in the same run. */
export interface Figure {
  readonly name: string;
  /** Median of the rounds. */
  readonly value: number;
  readonly unit: string;
  /** Median of the raw limit, in the same unit. */
  readonly limit: number;
  /** Median of value / limit, round by round; for times, limit / value: 1 is as good as the limit, more is better. */
  readonly ratio: number;
  readonly aim: number;
  /** What is held against the aim. */
  readonly aimOf: "ratio" | "value";
  /** (90th - 10th percentile) / median of the ratio. */
  readonly spread: number;
  /** What the limit is. */
  readonly against: string;
}

export interface Bench {
  readonly name: string;
  readonly unit: string;
  readonly aim: number;
  readonly aimOf: "ratio" | "value";
  /** True where a smaller value is the better one. */
  readonly isTime?: boolean;
  readonly against: string;
  /** Readies both sides; each call of `value` or `limit` measures one round of about `ms` milliseconds. */
  open(ms: number): Promise<Rounds>;
}

export interface Rounds {
  value(): number | Promise<number>;
  limit(): number | Promise<number>;
  close?(): void | Promise<void>;
}

export function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}

export function percentile(values: readonly number[], p: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(p * sorted.length))] ?? NaN;
}

/** Value and limit in turn, so that a machine that slows down slows both down. The first round warms up and is not counted. */
export async function measure(bench: Bench, rounds: number, ms: number): Promise<Figure> {
  const sides = await bench.open(ms);
  const values: number[] = [];
  const limits: number[] = [];
  try {
    for (let round = 0; round <= rounds; round++) {
      const [value, limit] = [await sides.value(), await sides.limit()];
      if (round === 0) continue;
      values.push(value);
      limits.push(limit);
    }
  } finally {
    await sides.close?.();
  }
  const ratios = values.map((value, i) => (bench.isTime ? limits[i]! / value : value / limits[i]!));
  const { name, unit, aim, aimOf, against } = bench;
  return {
    name,
    value: median(values),
    unit,
    limit: median(limits),
    ratio: median(ratios),
    aim,
    aimOf,
    spread: (percentile(ratios, 0.9) - percentile(ratios, 0.1)) / median(ratios),
    against,
  };
}

/** Runs `action` for about `ms` milliseconds; returns nanoseconds a call. */
export function nanoseconds(ms: number, action: (i: number) => unknown): number {
  let calls = 0;
  let batch = 1;
  const start = Bun.nanoseconds();
  for (;;) {
    for (let i = 0; i < batch; i++) action(calls + i);
    calls += batch;
    const passed = Bun.nanoseconds() - start;
    if (passed >= ms * 1e6) return passed / calls;
    if (passed < (ms * 1e6) / 10) batch *= 2;
  }
}
