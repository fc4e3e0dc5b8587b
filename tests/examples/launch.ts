/** Example programs started as a user would start them, and what they print. */
import { join } from "node:path";

const folder = join(import.meta.dir, "../../examples");
const patienceMs = 20_000;

/** A program of `examples/` whose output goes into a pipe, or into a terminal of `columns` x `rows`. */
export class Launched implements AsyncDisposable {
  readonly #label: string;
  readonly #process: Bun.Subprocess;
  readonly #news = new Set<() => void>();
  #out = "";
  #err = "";
  #read = 0;

  constructor(
    [file = "", ...args]: readonly string[],
    {
      env = {},
      terminal,
    }: { env?: Record<string, string>; terminal?: { columns: number; rows: number } } = {},
  ) {
    this.#label = [file, ...args].join(" ");
    const hear = (bytes: Uint8Array, decoder: TextDecoder) => {
      this.#out += decoder.decode(bytes, { stream: true });
      for (const wake of this.#news) wake();
    };
    const decoder = new TextDecoder();
    this.#process = Bun.spawn([process.execPath, join(folder, file), ...args], {
      env: { ...process.env, FORCE_COLOR: undefined, NO_COLOR: undefined, TERM: "xterm-256color", ...env },
      ...(terminal
        ? {
            terminal: {
              cols: terminal.columns,
              rows: terminal.rows,
              data: (_: unknown, bytes: Uint8Array) => hear(bytes, decoder),
            },
          }
        : { stdio: ["ignore", "pipe", "pipe"] as const }),
    });
    if (terminal) return;
    void drain(this.#process.stdout as ReadableStream<Uint8Array>, (bytes) => hear(bytes, decoder));
    void drain(
      this.#process.stderr as ReadableStream<Uint8Array>,
      (bytes) => (this.#err += new TextDecoder().decode(bytes)),
    );
  }

  /** A server on a port of the system's choice, and its address. */
  static async server(...command: readonly string[]): Promise<{ server: Launched; address: string }> {
    const server = new Launched([...command, "--listen", "127.0.0.1:0"]);
    const [, address = ""] = await server.matches(/listens on (127\.0\.0\.1:\d+)/);
    return { server, address };
  }

  /** The first match in what it has printed or will print. */
  async matches(pattern: RegExp): Promise<RegExpExecArray> {
    return await this.#until(() => pattern.exec(this.#out));
  }

  /** Its next line. */
  async line(): Promise<string> {
    return await this.#until(() => {
      const end = this.#out.indexOf("\n", this.#read);
      if (end < 0) return null;
      const line = this.#out.slice(this.#read, end);
      this.#read = end + 1;
      return line;
    });
  }

  /** Its next line, which is JSON. */
  async json<T>(): Promise<T> {
    return JSON.parse(await this.line()) as T;
  }

  /** Everything that it has printed. */
  get output(): string {
    return this.#out;
  }

  /** Waits until it ends by itself. */
  async ended(): Promise<{ status: number; out: string; err: string }> {
    const status = await this.#process.exited;
    await Bun.sleep(20); // what it said last may still be in the pipe
    return { status, out: this.#out, err: this.#err };
  }

  /** SIGINT, as by Ctrl-C; its status is 0 if it ended well. */
  async stop(): Promise<number> {
    this.#process.kill("SIGINT");
    return await this.#process.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill("SIGTERM");
    const timer = setTimeout(() => this.#process.kill("SIGKILL"), 5_000);
    await this.#process.exited;
    clearTimeout(timer);
  }

  async #until<T>(look: () => T | null): Promise<T> {
    const deadline = performance.now() + patienceMs;
    for (;;) {
      const found = look();
      if (found !== null) return found;
      const left = deadline - performance.now();
      if (left <= 0 || this.#process.exitCode !== null)
        throw new Error(
          `${this.#label} has not printed what it should; it printed ${JSON.stringify(this.#out.slice(-2_000))} and ${JSON.stringify(this.#err)}`,
        );
      await this.#next(left);
    }
  }

  /** Resolves with the next output, or a little later anyway, as it may have ended. */
  async #next(leftMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#news.add(resolve);
    const timer = setTimeout(resolve, Math.min(leftMs, 100));
    await promise;
    clearTimeout(timer);
    this.#news.delete(resolve);
  }
}

async function drain(stream: ReadableStream<Uint8Array>, hear: (bytes: Uint8Array) => void): Promise<void> {
  for await (const bytes of stream) hear(bytes);
}
