import { expect, setDefaultTimeout, test } from "bun:test";
import { duckdbBenches } from "./duckdb.ts";
import { measure } from "./measure.ts";
import { memoryBenches } from "./memory.ts";
import { networkBenches } from "./network.ts";
import { verificationBenches } from "./verification.ts";

setDefaultTimeout(30_000);

// Tiny: that each bench runs, and measures something. How fast is for `bun run bench` to say.
test.each(
  [...memoryBenches, ...verificationBenches, ...networkBenches, ...duckdbBenches].map(
    (bench) => [bench.name, bench] as const,
  ),
)(
  "%s gives a figure",
  async (_, bench) => {
    const figure = await measure(bench, 1, 2);
    expect(figure.value).toBeGreaterThan(0);
    expect(figure.limit).toBeGreaterThan(0);
    expect(Number.isFinite(figure.ratio)).toBe(true);
  },
  20_000,
);
