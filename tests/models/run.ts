#!/usr/bin/env bun
/** `bun run models`: searches the models of the commit protocol, whole and with one part taken away at a time. */
import { commandLine, flag, optionalText } from "../../examples/options.ts";
import { isRight, missingTools, type Outcome, Search } from "./search.ts";
import { cases } from "./variants.ts";

const options = commandLine({
  command: "bun run models",
  about:
    "Searches the models of the commit protocol for faults: none in what is whole, one wherever a step, order, check or fence is missing.\n" +
    "The status is 0 where that is so, 1 where it is not, 2 where Spin, Relacy or a compiler is missing.",
  flags: {
    deep: flag("three transactions and two deaths instead of two and one: minutes more"),
    only: optionalText("only this reader: snapshot, mending, changes, verify or bell", "NAME"),
    json: optionalText(
      "writes [{ model, variant, about, bounds, expected, found, states, seconds }] to this file",
      "FILE",
    ),
  },
  examples: ["bun run models", "bun run models --only changes --json models.json"],
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
const chosen = cases(options.deep).filter(({ reader }) => !options.only || reader === options.only);
if (chosen.length === 0) {
  console.error(`bun run models: there is no reader ${options.only}`);
  process.exit(2);
}
for (const one of chosen) {
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
if (options.json)
  await Bun.write(
    options.json,
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
