/** One example program as a child process of the runner. */
import { z } from "zod";
import { fromProgram, report, type FromRunner, type Goal, type Report } from "./report.ts";

export interface Audience {
  /** The program's newest block of lines. */
  panel(lines: readonly string[]): void;
  /** A line it said. */
  line(line: string): void;
}

type Message = z.output<typeof fromProgram>;
type Answer<K extends Message["kind"]> = Extract<Message, { kind: K }>;

const answerMs = 20_000;
const complaintCharsMax = 2_000;

export class Child {
  readonly label: string;
  readonly #process: Bun.Subprocess<"ignore", "pipe", "pipe">;
  readonly #waiting = new Map<string, (message: Message) => void>();
  readonly #early: Message[] = [];
  readonly #audience: Audience;
  readonly #broken = Promise.withResolvers<never>();
  #stopping = false;
  #complaint = "";

  constructor(
    label: string,
    command: readonly string[],
    env: Record<string, string | undefined>,
    audience: Audience,
  ) {
    this.label = label;
    this.#audience = audience;
    this.#broken.promise.catch(() => {});
    this.#process = Bun.spawn([...command], {
      env,
      stdio: ["ignore", "pipe", "pipe"],
      // In a group of its own Ctrl-C reaches the runner alone, which then asks for the final state and stops it. It
      // cannot outlive the runner: when the channel closes, for whatever reason, it ends itself.
      detached: true,
      serialization: "json",
      ipc: (message) => this.#receive(message),
      onExit: (_, code, signal) => this.#exited(code, signal),
    });
    void this.#drain(this.#process.stdout);
    void this.#drain(this.#process.stderr);
  }

  /** Rejects with a sentence when the program fails or ends although nobody stopped it. */
  get broken(): Promise<never> {
    return this.#broken.promise;
  }

  async ready(): Promise<string[]> {
    return (await this.#answer("ready")).addresses;
  }

  /** Makes the program stop changing anything; resolves to its own newest version. */
  async quiet(): Promise<number> {
    this.#process.send({ kind: "quiet" } satisfies FromRunner);
    return (await this.#answer("quiet")).version;
  }

  async report(goal: Goal): Promise<Report> {
    this.#process.send({ kind: "report", goal } satisfies FromRunner);
    return report.parse((await this.#answer("report")).report);
  }

  /** SIGTERM, and SIGKILL for one that does not listen. Resolves to what was wrong with its end, if anything. */
  async stop(graceMs = 3_000): Promise<string | undefined> {
    this.#stopping = true;
    this.#process.kill("SIGTERM");
    const timer = setTimeout(() => this.#process.kill("SIGKILL"), graceMs);
    const code = await this.#process.exited;
    clearTimeout(timer);
    if (this.#process.signalCode === "SIGKILL")
      return `${this.label} did not stop within ${graceMs / 1000} s`;
    if (code !== 0) return `${this.label} ended with status ${code}${this.#said()}`;
    return undefined;
  }

  async #answer<K extends Message["kind"]>(kind: K): Promise<Answer<K>> {
    const at = this.#early.findIndex((message) => message.kind === kind);
    if (at >= 0) return this.#early.splice(at, 1)[0] as Answer<K>;
    const { promise, resolve, reject } = Promise.withResolvers<Message>();
    this.#waiting.set(kind, resolve);
    const timer = setTimeout(
      () => reject(new Error(`${this.label} gave no "${kind}" within ${answerMs / 1000} s${this.#said()}`)),
      answerMs,
    );
    try {
      return (await Promise.race([promise, this.broken])) as Answer<K>;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(kind);
    }
  }

  #receive(raw: unknown): void {
    const read = fromProgram.safeParse(raw);
    if (!read.success) return this.#break(`${this.label} sent the runner something it does not know`);
    const message = read.data;
    if (message.kind === "panel") return this.#audience.panel(message.lines);
    if (message.kind === "line") return this.#audience.line(message.line);
    if (message.kind === "failed") return this.#break(`${this.label}: ${message.message}`);
    const waiting = this.#waiting.get(message.kind);
    if (waiting) waiting(message);
    else this.#early.push(message);
  }

  #exited(code: number | null, signal: number | string | null): void {
    if (this.#stopping) return;
    // What it said last may still be in the pipe.
    setTimeout(() => this.#break(`${this.label} ended by itself (${signal ?? code})${this.#said()}`), 50);
  }

  #break(sentence: string): void {
    this.#broken.reject(new Error(sentence));
  }

  #said(): string {
    const text = this.#complaint.trim();
    return text ? `: ${text}` : "";
  }

  async #drain(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    for await (const bytes of stream) {
      this.#complaint = (this.#complaint + decoder.decode(bytes, { stream: true })).slice(-complaintCharsMax);
    }
  }
}
