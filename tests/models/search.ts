/** Builds the models and searches them, in a folder that is gone afterwards. */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Case } from "./variants.ts";

export interface Outcome {
  readonly case: Case;
  readonly found: "nothing" | "a fault";
  /** States of Spin, executions of Relacy. */
  readonly states: number;
  readonly seconds: number;
}

/** What has to be installed first; empty: nothing. */
export function missingTools(): string[] {
  const header = ["/usr/include", "/usr/local/include"].some((path) =>
    existsSync(join(path, "relacy/relacy.hpp")),
  );
  return [
    ...(Bun.which("spin") ? [] : ["spin"]),
    ...(header ? [] : ["relacy-dev"]),
    ...(Bun.which("g++") && Bun.which("gcc") ? [] : ["g++"]),
  ];
}

export function isRight({ case: { removed }, found }: Outcome): boolean {
  return (found === "nothing") === (removed === null);
}

async function run(command: string[], cwd: string): Promise<{ status: number; text: string }> {
  const child = Bun.spawn(["nice", ...command], { cwd, stdout: "pipe", stderr: "pipe" });
  const [out, errors] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { status: await child.exited, text: `${out}${errors}` };
}

async function must(command: string[], cwd: string): Promise<string> {
  const { status, text } = await run(command, cwd);
  if (status !== 0) throw new Error(`${command.join(" ")} failed with ${status}:\n${text.slice(0, 4000)}`);
  return text;
}

function macros({ reader, removed, bounds: { ORDER, SPOILS, ...bounds } }: Case): string[] {
  const names = [`READS_${reader.toUpperCase()}`];
  if (removed) names.push(`REMOVE_${removed}`);
  if (ORDER) names.push("REMOVE_ORDER_STAMP_COPY");
  if (SPOILS) names.push("SPOILS");
  return [...names, ...Object.entries(bounds).map(([name, value]) => `${name}=${value}`)].map(
    (name) => `-D${name}`,
  );
}

export class Search implements Disposable {
  readonly #folder = mkdtempSync(join(tmpdir(), "memblast-models-"));
  #relacy: Promise<string> | null = null;
  #count = 0;

  /** Searches one case; throws where a tool fails or gives up, since then nothing has been shown. */
  async run(one: Case): Promise<Outcome> {
    if (one.tool === "relacy") this.#relacy ??= this.#buildRelacy();
    const relacy = await this.#relacy;
    const start = performance.now();
    const { found, states } = one.tool === "spin" ? await this.#spin(one) : await this.#execute(relacy!, one);
    return { case: one, found, states, seconds: (performance.now() - start) / 1000 };
  }

  async #spin(one: Case): Promise<Pick<Outcome, "found" | "states">> {
    const folder = join(this.#folder, `spin-${this.#count++}`);
    await must(["mkdir", folder], this.#folder);
    await must(["spin", ...macros(one), "-a", join(import.meta.dir, "commit.pml")], folder);
    const options = ["-DSAFETY", "-DCOLLAPSE", "-DVECTORSZ=512"];
    await must(["gcc", one.removed ? "-O1" : "-O2", "-w", ...options, "-o", "pan", "pan.c"], folder);
    const { text } = await run(["./pan", "-m100000", "-w24"], folder);
    rmSync(folder, { recursive: true });
    const errors = /errors: (\d+)/.exec(text)?.[1];
    const states = Number(/([\d.e+]+) states, stored/.exec(text)?.[1] ?? NaN);
    const isWhole = !/search not completed|max search depth too small|out of memory/i.test(text);
    if (errors === undefined || Number.isNaN(states) || (errors === "0" && !isWhole))
      throw new Error(`Spin did not finish ${macros(one).join(" ")}:\n${text.slice(0, 4000)}`);
    return { found: errors === "0" ? "nothing" : "a fault", states };
  }

  async #buildRelacy(): Promise<string> {
    const program = join(this.#folder, "commit_relacy");
    const source = join(import.meta.dir, "commit_relacy.cpp");
    await must(["g++", "-O1", "-std=c++11", "-fpermissive", "-w", "-o", program, source], this.#folder);
    return program;
  }

  async #execute(
    program: string,
    { reader, removed, bounds }: Case,
  ): Promise<Pick<Outcome, "found" | "states">> {
    const bound = reader === "bell" ? bounds["iterations"] : 1e9;
    const { status, text } = await run(
      [
        program,
        reader,
        ...[bounds["takeover"], bounds["switches"], bound].map(String),
        ...(removed ? [removed] : []),
      ],
      this.#folder,
    );
    const states = Number(text.trim());
    if ((status !== 0 && status !== 1) || !Number.isInteger(states))
      throw new Error(`Relacy ended with ${status} on ${reader} without ${removed}:\n${text.slice(0, 4000)}`);
    return { found: status === 0 ? "nothing" : "a fault", states };
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
