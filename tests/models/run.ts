#!/usr/bin/env bun
/**
 * `bun run models`: searches the models of the commit protocol, whole and with one part taken away at a time.
 *
 *   --deep         three transactions and two deaths instead of two and one; minutes
 *   --json FILE    writes [{ model, variant, about, bounds, expected, found, states, seconds }]
 *
 * Exit status 0: nothing was found in what is whole, and a fault wherever a part was missing; 1: not so; 2: cannot run.
 */
import { parseArgs } from "node:util";
import { isRight, missingTools, type Outcome, Search } from "./search.ts";
import { cases } from "./variants.ts";

const { values } = parseArgs({
  options: { deep: { type: "boolean", default: false }, json: { type: "string" } },
});

const missing = missingTools();
if (missing.length > 0) {
  console.error(`bun run models needs ${missing.join(", ")}: apt-get install spin relacy-dev g++`);
  process.exit(2);
}

function expected(outcome: Outcome): string {
  return outcome.case.removed === null ? "nothing" : "a fault";
}

function row(outcome: Outcome): string {
  const { tool, reader, removed, about } = outcome.case;
  const verdict = isRight(outcome) ? "ok  " : "FAIL";
  const figures = `${String(outcome.states).padStart(10)} ${outcome.seconds.toFixed(1).padStart(6)}`;
  return `${verdict} ${tool.padEnd(6)} ${reader.padEnd(8)} ${(removed ?? "whole").padEnd(20)} ${expected(outcome).padEnd(8)} ${outcome.found.padEnd(8)} ${figures}  ${about}`;
}

console.log(`     model  reader   without              expected found       states      s`);
const outcomes: Outcome[] = [];
const start = performance.now();
using search = new Search();
for (const one of cases(values.deep)) {
  const outcome = await search.run(one);
  outcomes.push(outcome);
  console.log(row(outcome));
}

const wrong = outcomes.filter((outcome) => !isRight(outcome)).length;
const removed = outcomes.filter((outcome) => outcome.case.removed !== null).length;
const states = outcomes.reduce((sum, outcome) => sum + outcome.states, 0);
console.log(
  `\n${outcomes.length - removed} whole models, ${removed} with a part taken away: ${wrong} not as expected; ` +
    `${states} states and executions in ${((performance.now() - start) / 1000).toFixed(0)} s`,
);
if (values.json)
  await Bun.write(
    values.json,
    `${JSON.stringify(
      outcomes.map((outcome) => ({
        model: `${outcome.case.tool} ${outcome.case.reader}`,
        variant: outcome.case.removed ?? "whole",
        about: outcome.case.about,
        bounds: outcome.case.bounds,
        expected: expected(outcome),
        found: outcome.found,
        states: outcome.states,
        seconds: Math.round(outcome.seconds * 1000) / 1000,
      })),
      null,
      2,
    )}\n`,
  );
process.exitCode = wrong === 0 ? 0 : 1;
