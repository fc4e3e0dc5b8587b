import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { fencedPairs, stepPairs, unknownFences } from "./link.ts";
import { isRight, missingTools, Search } from "./search.ts";
import { cases } from "./variants.ts";

setDefaultTimeout(30_000);

const missing = missingTools();
if (missing.length > 0)
  console.warn(`SKIPPED: the models need ${missing.join(", ")}: apt-get install spin relacy-dev g++`);

describe("the models are of this C library", () => {
  test.each(fencedPairs().map((pair) => [pair.name, pair] as const))(
    "%s in commit_relacy.cpp",
    (_, { c, model }) => {
      expect(c).not.toBeNull();
      expect(model).toEqual(c);
    },
  );

  // Without a preprocessor there is nothing to compare, and nothing to make the pairs from.
  for (const { name, c, model } of Bun.which("cpp") ? stepPairs() : [])
    test(`${name} in commit.pml`, () => {
      expect(model).toEqual(c);
    });

  test("every fence of the protocol is in a model", () => {
    expect(unknownFences()).toEqual([
      "read.c: read_redo", // for the compiler, which must not read the page again
      "verify.c: verify_words", // for the compiler too
      "verify.c: verify_still", // in commit_relacy.cpp as mb_verify
    ]);
  });
});

describe.skipIf(missing.length > 0)(
  "a part taken away is found missing, and nothing is found in the whole",
  () => {
    const search = new Search();
    afterAll(() => search[Symbol.dispose]());
    const quick = cases(false).filter((one) => one.quick);
    test.each(
      quick.map(
        (one) =>
          [`${one.tool} ${one.reader} without ${one.removed ?? "nothing"}: ${one.about}`, one] as const,
      ),
    )(
      "%s",
      async (_, one) => {
        const bounds =
          one.removed === null && one.tool === "spin"
            ? { ...one.bounds, WRITERS: 1, CRASHES: 1 }
            : one.bounds;
        const outcome = await search.run({ ...one, bounds });
        expect(outcome).toSatisfy(isRight);
      },
      120_000,
    );
  },
);
