import { join } from "node:path";
import type { Trial } from "./fault.ts";

const folder = join(import.meta.dir, "children");

/** The command line of a child program of this folder. */
export function bunChild(name: string, ...args: (string | number)[]): string[] {
  return [process.execPath, join(folder, `${name}.ts`), ...args.map(String)];
}

export interface Ended {
  /** Null where a signal ended it. */
  readonly status: number | null;
  readonly signal: string | number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** How long a child may be silent, or go on when its time is over, before it counts as hanging. */
const patienceMs = 60_000;

/** Runs a program to its end. Its segments live in the trial's folder. */
export async function run(
  trial: Trial,
  command: string[],
  options: { env?: Record<string, string>; stdin?: string } = {},
): Promise<Ended> {
  const child = Bun.spawn(command, {
    stdin: options.stdin === undefined ? "ignore" : Buffer.from(options.stdin),
    stdout: "pipe",
    stderr: "pipe",
    env: environment(trial, options.env),
    timeout: patienceMs + Math.round(1000 * Math.max(0, trial.secondsLeft)),
    killSignal: "SIGKILL",
  });
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { status: child.exitCode, signal: child.signalCode, stdout, stderr };
}

function environment(trial: Trial, more: Record<string, string> = {}): Record<string, string | undefined> {
  return { ...process.env, MEMBLAST_DIR: trial.folder, ...more };
}

/** How long a child that was asked may take to answer. */
const silenceMs = 30_000;

/** A child that is spoken to line by line, and may die at any time. */
export class Companion implements AsyncDisposable {
  readonly #child: Bun.Subprocess<"pipe", "pipe", "pipe">;
  readonly #lines: AsyncGenerator<string>;
  readonly #stderr: Promise<string>;
  #hung = false;

  constructor(trial: Trial, command: string[], env: Record<string, string> = {}) {
    this.#child = Bun.spawn(command, {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "pipe",
      env: environment(trial, env),
    });
    this.#lines = linesOf(this.#child.stdout);
    this.#stderr = new Response(this.#child.stderr).text();
  }

  get pid(): number {
    return this.#child.pid;
  }

  say(line: string): void {
    this.#child.stdin.write(`${line}\n`);
    this.#child.stdin.flush();
  }

  /** The next line that it prints; null when it has ended. One that has nothing to say for too long is ended. */
  async hear(): Promise<string | null> {
    const timer = setTimeout(() => {
      this.#hung = true;
      this.#child.kill("SIGKILL");
    }, silenceMs);
    const line = await this.#lines.next();
    clearTimeout(timer);
    return line.done ? null : line.value;
  }

  async ask(line: string): Promise<string | null> {
    this.say(line);
    return this.hear();
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.exited;
  }

  /** Closes its standard input, and waits until it has ended by itself. */
  async end(): Promise<Ended> {
    this.#child.stdin.end();
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), patienceMs);
    await this.#child.exited;
    clearTimeout(timer);
    return this.ended();
  }

  /** How it ended. */
  async ended(): Promise<Ended> {
    await this.#child.exited;
    const { exitCode: status, signalCode } = this.#child;
    const signal = this.#hung ? "hanging" : signalCode;
    return { status, signal, stdout: "", stderr: await this.#stderr };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
}

/** One line that says how a program ended, for a violation. */
export function howItEnded({ status, signal, stderr }: Ended): string {
  const lines = stderr.trim().split("\n");
  const said = lines.find((line) => /^\w*[Ee]rror\b/.test(line)) ?? lines.at(-1) ?? "";
  return `${signal ? `died of ${signal}` : `ended with status ${status}`}${said ? `: ${said.slice(0, 300)}` : ""}`;
}
