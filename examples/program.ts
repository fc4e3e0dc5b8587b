/**
 * What every example program shares: it stops cleanly on Ctrl-C, shows itself as a block that refreshes in place (a
 * terminal), as a line a second (a pipe) or as JSON lines (`--json`), and answers the runner when it is run by it.
 */
import { MemblastError } from "../src/errors.ts";
import type { FromProgram, FromRunner, Goal, Report } from "./report.ts";
import { paint, Panel, wantsColour, type Paint } from "./terminal.ts";

/** One moment of a program, in the three forms in which it may be wanted; only the wanted one is computed. */
export interface View {
  lines(): string[];
  line(): string;
  json?(): unknown;
}

type Mode = "panel" | "lines" | "json" | "runner-panel" | "runner-lines";

const intervalMs: Record<Mode, number> = {
  panel: 80,
  "runner-panel": 80,
  lines: 1000,
  "runner-lines": 1000,
  json: 0,
};

const caughtUpMs = 10_000;
const patienceMs = 1_000;

export class Program implements Disposable {
  readonly ink: Paint;
  /** Resolves when the program shall end: SIGINT, SIGTERM, or the runner is gone. Rejects after {@link fail}. */
  readonly stopped: Promise<void>;
  /** Ends the program with this error; for what happens outside of `main`. */
  readonly fail: (error: unknown) => void;
  readonly #mode: Mode;
  readonly #panel: Panel | undefined;
  readonly #timers = new Set<Timer>();
  readonly #stop: () => void;
  #pending: Timer | undefined;
  #shownAt = -Infinity;
  #next: View | undefined;
  #isReady = false;
  #isStopping = false;
  #version: () => number = () => 0;
  #report: (goal: Goal) => Promise<Report> = async () => ({
    versions: {},
    digests: {},
    values: {},
    problems: [],
  });

  constructor(options: { json?: boolean } = {}) {
    this.#mode = mode(options.json ?? false);
    const colour = this.#mode === "panel" || this.#mode === "runner-panel";
    this.ink = paint(wantsColour(colour, process.env));
    if (this.#mode === "panel") this.#panel = new Panel(process.stdout);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.stopped = promise;
    this.stopped.catch(() => {});
    this.fail = reject;
    this.#stop = () => {
      this.#isStopping = true;
      this.#quiet();
      resolve();
    };
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, this.#stop);
    // Whoever read our output has gone: `client.ts | head`.
    process.stdout.on("error", this.#stop);
    if (process.send) this.#obeyRunner();
    // Until it is ready `main` may be waiting for a server, and not for `stopped`.
    void promise.then(
      () => this.#isReady || process.exit(0),
      () => {},
    );
  }

  /** Tells a person who waits why, unless the program is ready soon. */
  waitsFor(server: string): void {
    const say = () => this.#isReady || this.say(`waits for ${server}; is the server running?`);
    setTimeout(say, patienceMs);
  }

  /** Calls `step` every so many milliseconds, until the runner wants quiet or the program ends. */
  every(ms: number, step: () => void): void {
    this.#timers.add(setInterval(step, ms));
  }

  /** Tells where this program listens, and how to ask it for its version. */
  ready(addresses: readonly string[], version: () => number): void {
    this.#version = version;
    this.#isReady = true;
    send({ kind: "ready", addresses: [...addresses] });
  }

  /** How this program answers when the runner compares all programs of an example. */
  reports(answer: (goal: Goal) => Report | Promise<Report>): void {
    this.#report = async (goal) => answer(goal);
  }

  /** Shows the newest view, as often as its form allows; those in between are dropped, and those of a closing node. */
  show(view: View): void {
    if (this.#isStopping) return;
    this.#next = view;
    const wait = this.#shownAt + intervalMs[this.#mode] - performance.now();
    if (wait <= 0) this.#flush();
    else this.#pending ??= setTimeout(() => this.#flush(), wait);
  }

  /** A line that stays. */
  say(line: string): void {
    if (this.#panel) this.#panel.say(line);
    else if (this.#mode === "lines") print(line);
    else if (this.#mode !== "json") send({ kind: "line", line });
  }

  [Symbol.dispose](): void {
    this.#quiet();
    clearTimeout(this.#pending);
    this.#panel?.[Symbol.dispose]();
  }

  #flush(): void {
    clearTimeout(this.#pending);
    this.#pending = undefined;
    this.#shownAt = performance.now();
    const view = this.#next;
    if (!view || this.#isStopping) return;
    if (this.#mode === "panel") this.#panel?.draw(view.lines());
    else if (this.#mode === "runner-panel") send({ kind: "panel", lines: view.lines() });
    else if (this.#mode === "runner-lines") send({ kind: "line", line: view.line() });
    else print(this.#mode === "json" ? JSON.stringify(view.json?.() ?? view.line()) : view.line());
  }

  #quiet(): void {
    for (const timer of this.#timers) clearInterval(timer);
    this.#timers.clear();
  }

  #obeyRunner(): void {
    process.on("disconnect", this.#stop);
    process.on("message", (message: FromRunner) => {
      if (message.kind === "quiet") {
        this.#quiet();
        send({ kind: "quiet", version: this.#version() });
      } else {
        this.#report(message.goal).then(
          (report) => send({ kind: "report", report }),
          (error: unknown) => send({ kind: "failed", message: sentence(error) }),
        );
      }
    });
  }
}

/** Runs `main`, and makes of an error one sentence and exit status 1. */
export async function program(
  options: { json?: boolean },
  main: (self: Program) => Promise<void>,
): Promise<void> {
  const self = new Program(options);
  try {
    await main(self);
  } catch (error) {
    self[Symbol.dispose]();
    send({ kind: "failed", message: sentence(error) });
    if (!process.send) console.error(sentence(error));
    process.exitCode = 1;
  }
  self[Symbol.dispose]();
  // The channel to the runner and signal handlers would keep the process alive.
  process.exit();
}

/** Waits until `version()` has reached what `goal` says for `address`; throws after ten seconds. */
export async function caughtUp(goal: Goal, address: string, version: () => number): Promise<void> {
  const wanted = goal[address] ?? 0;
  const deadline = performance.now() + caughtUpMs;
  while (version() < wanted) {
    if (performance.now() > deadline)
      throw new Error(`stayed at version ${version()} of ${wanted} of ${address}`);
    await Bun.sleep(5);
  }
}

function mode(json: boolean): Mode {
  if (process.send) return process.env["MEMBLAST_VIEW"] === "panel" ? "runner-panel" : "runner-lines";
  if (json) return "json";
  return process.stdout.isTTY ? "panel" : "lines";
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

function send(message: FromProgram): void {
  if (process.send && process.connected) process.send(message);
}

function sentence(error: unknown): string {
  if (error instanceof MemblastError) return `${error.message} [${error.code}]`;
  return error instanceof Error ? error.message : String(error);
}
