/** What the network learns: handwritten digits, or the exclusive or of two bits. */
import { z } from "zod";
import { digitPixels, loadDigits } from "./digits.ts";
import type { Samples, Sizes } from "./network.ts";

export const taskNames = ["digits", "xor"] as const;
export type TaskName = (typeof taskNames)[number];

/** The metadata of a version. */
export const trainingMeta = z.object({
  task: z.enum(taskNames),
  /** Batches that the weights have been trained with. */
  step: z.number().int().nonnegative(),
  /** Mean loss over the batches since the version before, in nats; null before the first. */
  loss: z.number().nullable(),
  /** When, ISO 8601. */
  time: z.string(),
});

export type TrainingMeta = z.infer<typeof trainingMeta>;

/** The metadata of a training, or undefined where there is none yet. */
export function readMeta(meta: unknown): TrainingMeta | undefined {
  return trainingMeta.safeParse(meta).data;
}

export interface Task {
  readonly sizes: Sizes;
  readonly train: Samples;
  /** What accuracy is measured on. */
  readonly test: Samples;
  readonly testAre: string;
  readonly batch: number;
  readonly rate: number;
}

/** All four cases of it: there are no others to test with. */
const xorSamples: Samples = {
  inputs: Float32Array.of(0, 0, 0, 1, 1, 0, 1, 1),
  labels: Uint8Array.of(0, 1, 1, 0),
};

export async function loadTask(name: TaskName): Promise<Task> {
  if (name === "xor") {
    return {
      sizes: [2, 8, 2],
      train: xorSamples,
      test: xorSamples,
      testAre: "cases of a xor b",
      batch: 4,
      rate: 0.2,
    };
  }
  const { train, heldOut } = await loadDigits();
  return {
    sizes: [digitPixels, 32, 10],
    train,
    test: heldOut,
    testAre: "digits that were not trained on",
    batch: 32,
    rate: 0.2,
  };
}
