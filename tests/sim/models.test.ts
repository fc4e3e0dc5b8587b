import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { models } from "./models.ts";

setDefaultTimeout(30_000);

// All of them: MODEL_RUNS=100000 bun test tests/sim/models.test.ts, or bun run sim --models 100000
const runs = Number(process.env["MODEL_RUNS"] ?? 10_000);
const seed = Number(process.env["MODEL_SEED"] ?? 20_260_102);

describe(`models, seed ${seed}`, () => {
  test.each(models.map((model) => [model.name, model] as const))(
    "%s: what is built does what the model does",
    (_, model) => {
      model.run(Math.ceil(runs * model.share), seed);
    },
    30_000 + runs * 20,
  );

  test.each(
    models.flatMap((model) => Object.keys(model.canaries).map((name) => [model.name, name, model] as const)),
  )(
    "%s: a planted bug is found: %s",
    (_, name, model) => {
      expect(() => model.run(2000, seed, model.canaries[name])).toThrow();
    },
    60_000,
  );
});
