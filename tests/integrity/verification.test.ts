import { expect, test } from "bun:test";
import { measure } from "../bench/measure.ts";
import { verificationBenches } from "../bench/verification.ts";

// All of the 256 MiB would be some 30,000 times the hashes of the one leaf and of what is above it.
test.each(verificationBenches.map((bench) => [bench.name, bench] as const))(
  "one cell of 256 MiB changed: %s costs some hashes, not all of them",
  async (_, bench) => {
    const { ratio } = await measure(bench, 9, 5);
    expect(ratio).toBeGreaterThan(1 / 100);
  },
);
