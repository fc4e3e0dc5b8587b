import { describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  choice,
  flag,
  helpText,
  number,
  numbers,
  optionalText,
  parse,
  text,
  UsageError,
} from "../../examples/options.ts";

setDefaultTimeout(30_000);

const line = {
  command: "bun examples/x.ts",
  about: "Does x.",
  flags: {
    listen: text("127.0.0.1:7010", "where to listen", "ADDRESS"),
    every: number(1000, "milliseconds", "MS", { min: 1, max: 5000 }),
    seconds: number(3, "how long", "N", { whole: false }),
    source: choice(["random", "replay"], "what"),
    file: optionalText("a file", "FILE"),
    checkHash: flag("verifies"),
  },
  examples: ["bun examples/x.ts --every 5"],
};

describe("parse", () => {
  test("fills in the defaults", () => {
    expect(parse(line, [])).toEqual({
      listen: "127.0.0.1:7010",
      every: 1000,
      seconds: 3,
      source: "random",
      file: undefined,
      checkHash: false,
      operands: [],
    });
  });

  test("reads every kind of value, with a space or an equals sign", () => {
    const argv = [
      "--listen",
      "0.0.0.0:1",
      "--every=5",
      "--seconds",
      "0.5",
      "--source",
      "replay",
      "--file",
      "f",
      "--check-hash",
    ];
    expect(parse(line, argv)).toEqual({
      listen: "0.0.0.0:1",
      every: 5,
      seconds: 0.5,
      source: "replay",
      file: "f",
      checkHash: true,
      operands: [],
    });
  });

  test.each([
    [["--every", "x"], /^--every must be a whole number from 1 to 5000, not "x"$/],
    [["--every", "0"], /^--every must be a whole number from 1 to 5000, not "0"$/],
    [["--every", "1.5"], /^--every must be a whole number from 1 to 5000, not "1.5"$/],
    [["--every", "6000"], /^--every must be/],
    [["--seconds", "1e3"], /^--seconds must be a number from 0 up, not "1e3"$/],
    [["--source", "yahoo"], /^--source must be random or replay, not "yahoo"$/],
    [["--listen", ""], /^--listen needs a value, not ""$/],
    [["--lissen", "x"], /--lissen/],
    [["--listen"], /--listen/],
    [["--check-hash=1"], /--check-hash/],
    [["stray"], /stray/],
  ])("refuses %j with a sentence that names it", (argv, sentence) => {
    expect(() => parse(line, argv)).toThrow(UsageError);
    expect(() => parse(line, argv)).toThrow(sentence);
  });

  test("takes operands only where the program has some", () => {
    const withOperand = { ...line, operand: { name: "NAME...", help: "which" } };
    expect(parse(withOperand, ["a", "--every", "5", "b"]).operands).toEqual(["a", "b"]);
  });
});

describe("numbers", () => {
  const lists = {
    ...line,
    flags: { tickers: numbers("rows", "LIST"), region: numbers("a part", "R,C,H,W") },
  };
  const read = (...argv: string[]) => parse(lists, argv);

  test("reads a list, of as many as the value has names", () => {
    expect(read()).toMatchObject({ tickers: undefined, region: undefined });
    expect(read("--tickers", "2,50,75", "--region", "0,1,20,30")).toMatchObject({
      tickers: [2, 50, 75],
      region: [0, 1, 20, 30],
    });
    expect(read("--tickers", "7").tickers).toEqual([7]);
  });

  test.each([
    ["--tickers", "", /^--tickers must be whole numbers with commas between them, not ""$/],
    ["--tickers", "1,,2", /^--tickers must be/],
    ["--tickers", "1.5", /^--tickers must be/],
    ["--tickers", "9007199254740993", /^--tickers must be/],
    ["--region", "1,2,3", /^--region must be 4 whole numbers with commas between them, not "1,2,3"$/],
    ["--region", "1,2,3,4,5", /^--region must be 4/],
  ])("refuses %s %j", (name, value, sentence) => {
    expect(() => read(name, value)).toThrow(sentence);
  });
});

test("the help text has every flag with its default, and the examples", () => {
  const help = helpText(line);
  for (const part of [
    "Does x.",
    "usage: bun examples/x.ts [options]",
    "--listen ADDRESS",
    "(127.0.0.1:7010)",
    "--every MS",
    "(1000)",
    "--source random|replay",
    "--check-hash ",
    "--help",
    "bun examples/x.ts --every 5",
  ]) {
    expect(help).toContain(part);
  }
});
