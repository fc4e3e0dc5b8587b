import { join } from "node:path";

/** How long an actor may take to answer before it counts as hanging. */
const patienceMs = 60_000;

type Answer = { readonly id: number; readonly value?: unknown; readonly error?: string };
interface Waiting {
  resolve(value: unknown): void;
  reject(error: Error): void;
  readonly timer: ReturnType<typeof setTimeout>;
}

export interface ActorOptions {
  readonly env?: Record<string, string>;
  /** A command that runs the actor's: `["taskset", "-c", "0"]`. It must become it, so that the process is the same. */
  readonly under?: readonly string[];
}

/** A process of its own that does what it is asked, many things at a time. Its program stands in children/. */
export class Actor implements AsyncDisposable {
  readonly #child: Bun.Subprocess<"pipe", "pipe", "pipe">;
  readonly #waiting = new Map<number, Waiting>();
  readonly #stderr: Promise<string>;
  #next = 0;

  constructor(program: string, { env = {}, under = [] }: ActorOptions = {}) {
    this.#child = Bun.spawn(
      [...under, process.execPath, join(import.meta.dir, "children", `${program}.ts`)],
      {
        stdin: "pipe",
        stdout: "pipe",
        stderr: "pipe",
        env: { ...process.env, ...env },
      },
    );
    this.#stderr = new Response(this.#child.stderr).text();
    void this.#listen();
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** Does it, and returns what came of it; what it throws is thrown here. */
  call<T = unknown>(method: string, ...args: unknown[]): Promise<T> {
    return this.callFor<T>(patienceMs, method, ...args);
  }

  /** The same for what may take longer. */
  callFor<T = unknown>(limitMs: number, method: string, ...args: unknown[]): Promise<T> {
    const id = this.#next++;
    return new Promise<T>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#child.kill("SIGKILL");
        reject(new Error(`${method} has had no answer for ${limitMs} ms`));
      }, limitMs);
      this.#waiting.set(id, { resolve: resolve as (value: unknown) => void, reject, timer });
      this.#child.stdin.write(`${JSON.stringify({ id, method, args })}\n`);
      this.#child.stdin.flush();
    });
  }

  async #listen(): Promise<void> {
    const decoder = new TextDecoder();
    let rest = "";
    for await (const chunk of this.#child.stdout) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) this.#heard(JSON.parse(line) as Answer);
    }
    await this.#child.exited;
    const { exitCode, signalCode } = this.#child;
    const said = (await this.#stderr).trim().split("\n").at(-1) ?? "";
    const error = new Error(`the process ended (${signalCode ?? exitCode}) ${said}`);
    for (const { reject, timer } of this.#waiting.values()) {
      clearTimeout(timer);
      reject(error);
    }
    this.#waiting.clear();
  }

  #heard({ id, value, error }: Answer): void {
    const waiting = this.#waiting.get(id);
    if (!waiting) return;
    this.#waiting.delete(id);
    clearTimeout(waiting.timer);
    if (error === undefined) waiting.resolve(value);
    else waiting.reject(new Error(error));
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.exited;
  }

  /** Closes its input, and waits until it has ended by itself. */
  async end(): Promise<number | null> {
    this.#child.stdin.end();
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), 5000);
    await this.#child.exited;
    clearTimeout(timer);
    return this.#child.exitCode;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.kill();
  }
}
