#!/usr/bin/env bun
/** `bun run fuzz`: searches for inputs that break the C library, guided by coverage, from the corpus beside this file. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { commandLine, number, optionalText } from "../../examples/options.ts";

const targets = ["attach", "apply", "diff"] as const;
type Target = (typeof targets)[number];

interface Result {
  readonly target: Target;
  readonly executions: number;
  readonly perSecond: number;
  /** Edges of the program reached. */
  readonly coverage: number;
  /** Edges by how often, as libFuzzer counts them. */
  readonly features: number;
  readonly inputs: number;
  readonly seconds: number;
  /** The input that broke it, and how. */
  readonly finding: { readonly file: string; readonly text: string } | null;
}

function stop(text: string): never {
  console.error(`bun run fuzz: ${text}`);
  process.exit(2);
}

const options = commandLine({
  command: "bun run fuzz",
  about:
    "Searches for inputs that break the C library, guided by coverage. The status is 0 where nothing was found, 1 with the file that\n" +
    "shows what was, 2 where clang or libFuzzer is missing.",
  flags: {
    seconds: number(60, "how long for each target", "N", { min: 1 }),
    target: optionalText(`only ${targets.join(" or ")}`, "NAME"),
    keep: optionalText(
      "keeps inputs that reached something new in FOLDER/TARGET, and goes on from there",
      "FOLDER",
    ),
    json: optionalText(
      "writes [{ target, executions, perSecond, coverage, features, inputs, seconds, finding }] to this file",
      "FILE",
    ),
  },
  examples: ["bun run fuzz", "bun run fuzz --seconds 600 --target attach --keep inputs"],
});
const { seconds } = options;
const chosen = targets.filter((name) => !options.target || name === options.target);
if (chosen.length === 0) stop(`--target takes ${targets.join(", ")}, not ${options.target}`);

const compiler = [process.env["CLANG"], "clang", "clang-14", "clang-19", "clang-16"].find(
  (name) => name && Bun.which(name),
);
if (!compiler) stop("Fuzzing needs clang with libFuzzer: apt-get install clang-14 libclang-rt-14-dev");

const folder = mkdtempSync(join(tmpdir(), "memblast-fuzz-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));

function build(target: Target): string {
  const program = join(folder, target);
  const flags = "-std=gnu11 -g -O2 -Wall -Wextra -Werror -Wno-unused-function".split(" ");
  const sanitizers = "-fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all".split(" ");
  const source = join(import.meta.dir, "target.c");
  const define = `-DFUZZ_TARGET=fuzz_${target}`;
  const built = Bun.spawnSync([
    compiler!,
    ...flags,
    ...sanitizers,
    define,
    "-o",
    program,
    source,
    "-lpthread",
  ]);
  if (!built.success)
    stop(
      `${compiler} failed (it needs libFuzzer: apt-get install libclang-rt-14-dev):\n${built.stderr.toString()}`,
    );
  return program;
}

function numberIn(text: string, pattern: RegExp): number {
  return Number([...text.matchAll(pattern)].at(-1)?.[1] ?? 0);
}

async function fuzz(target: Target): Promise<Result> {
  const program = build(target);
  const found = join(options.keep ?? folder, `${target}-inputs`);
  mkdirSync(found, { recursive: true });
  const artifacts = mkdtempSync(join(tmpdir(), `memblast-finding-${target}-`));
  const start = performance.now();
  const child = Bun.spawn(
    [
      ...["nice", program, found, join(import.meta.dir, "corpus", target), `-artifact_prefix=${artifacts}/`],
      ...[`-max_total_time=${seconds}`, "-print_final_stats=1", "-timeout=25", "-rss_limit_mb=3000"],
      ...[
        "-use_value_profile=0",
        "-verbosity=1",
        "-reload=0",
        `-max_len=${target === "attach" ? 32768 : 4096}`,
      ],
    ],
    { stdout: "ignore", stderr: "pipe", cwd: folder },
  );
  const text = await new Response(child.stderr).text();
  const status = await child.exited;
  const file = readdirSync(artifacts)[0];
  if (!file) rmSync(artifacts, { recursive: true });
  const summary = /^(SUMMARY|==\d+==ERROR|.*not so: ).*$/m.exec(text)?.[0] ?? text.slice(-2000);
  return {
    target,
    executions: numberIn(text, /stat::number_of_executed_units:\s*(\d+)/g) || numberIn(text, /^#(\d+)/gm),
    perSecond: numberIn(text, /stat::average_exec_per_sec:\s*(\d+)/g),
    coverage: numberIn(text, /cov: (\d+)/g),
    features: numberIn(text, /ft: (\d+)/g),
    inputs: numberIn(text, /corp: (\d+)/g),
    seconds: Math.round((performance.now() - start) / 100) / 10,
    finding: status === 0 ? null : { file: file ? join(artifacts, file) : "none kept", text: summary },
  };
}

console.log("target    executions  /s      edges  features  inputs  seconds  findings");
const results: Result[] = [];
for (const target of chosen) {
  const result = await fuzz(target);
  results.push(result);
  const columns = [
    target.padEnd(8),
    String(result.executions).padStart(11),
    ` ${String(result.perSecond).padEnd(7)}`,
    String(result.coverage).padEnd(6),
    String(result.features).padEnd(9),
    String(result.inputs).padEnd(7),
    String(result.seconds).padEnd(8),
    result.finding ? 1 : 0,
  ];
  console.log(columns.join(" "));
  if (result.finding) console.log(`  ${result.finding.text}\n  input: ${result.finding.file}`);
}
if (options.json) await Bun.write(options.json, `${JSON.stringify(results, null, 2)}\n`);
process.exitCode = results.every(({ finding }) => finding === null) ? 0 : 1;
