import { expect, setDefaultTimeout, test } from "bun:test";
import { Child } from "../memory/child.ts";

setDefaultTimeout(60_000);

test.each([
  { cells: 1, metaBytes: 0, count: 4000 },
  { cells: 64, metaBytes: 0, count: 4000 },
  { cells: 1, metaBytes: 1000, count: 4000 },
  { cells: 32_768, metaBytes: 0, count: 200 },
])("what waits is counted as what it takes: %p", async ({ cells, metaBytes, count }) => {
  await using child = new Child("../../node/children/waiting.ts", [cells, metaBytes, count]);
  const { counted, taken } = await child.json<{ counted: number; taken: number }>();
  console.log(`${(taken / count).toFixed(0)} bytes each, counted as ${(counted / count).toFixed(0)}`);
  expect(counted / taken).toBeWithin(0.9, 1.4);
});
