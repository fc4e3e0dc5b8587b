import { expect, setDefaultTimeout, test } from "bun:test";
import { judge, type Report } from "../../examples/report.ts";

setDefaultTimeout(30_000);

const one = (given: Partial<Report>): Report => ({
  versions: {},
  digests: {},
  values: {},
  problems: [],
  ...given,
});
const verdict = (reports: Record<string, Partial<Report>>, versionsMin = 1) =>
  judge(new Map(Object.entries(reports).map(([label, given]) => [label, one(given)])), versionsMin);

const server = { digests: { main: "aa".repeat(32) }, values: { mean: 1 / 3 } };
const client = { ...server, versions: { "127.0.0.1:1": 7 } };

test("passes when all that is shared is equal, and says what that was", () => {
  expect(verdict({ server, client, other: client })).toEqual({
    passed: true,
    figure:
      "version 7 reached, 1 array bit-equal in 3 programs, 1 computed values equal, sha256 aaaaaaaaaaaa",
  });
});

test("fails when bytes differ, and names the program", () => {
  const { passed, figure } = verdict({ server, client: { ...client, digests: { main: "ab".repeat(32) } } });
  expect(passed).toBe(false);
  expect(figure).toBe("main is aaaaaaaaaaaa in server but abababababab in client");
});

test("computed values may differ by the rounding of a sum and no more", () => {
  const mean = (value: number | null) => ({ server, client: { ...client, values: { mean: value } } });
  expect(verdict(mean(1 / 3 + 1e-12)).passed).toBe(true);
  expect(verdict(mean(1 / 3 + 1e-6)).passed).toBe(false);
  expect(verdict(mean(null)).passed).toBe(false);
});

test("a value missing on both sides is equal", () => {
  const values = { mean: null };
  expect(verdict({ server: { values }, client: { values, versions: { a: 1 } } }).passed).toBe(true);
});

test("fails when a program found a problem itself, too few versions were made, or nothing was compared", () => {
  expect(verdict({ server, client: { ...client, problems: ["a hash did not match"] } }).figure).toBe(
    "client: a hash did not match",
  );
  expect(verdict({ server, client }, 8).figure).toBe("only 7 of at least 8 versions reached");
  expect(verdict({ server, client: { versions: { a: 9 } } }).figure).toBe(
    "no two programs reported the same thing",
  );
});
