import type { Trial } from "./fault.ts";
import { bunChild, Companion, howItEnded } from "./programs.ts";

export type Answer = { readonly value?: unknown; readonly code?: string; readonly message?: string };

/** A process with a node of its own that does what it is told: see children/puppet.ts. */
export class Puppet implements AsyncDisposable {
  readonly #companion: Companion;

  private constructor(companion: Companion) {
    this.#companion = companion;
  }

  static async open(trial: Trial, env: Record<string, string> = {}): Promise<Puppet> {
    const puppet = new Puppet(new Companion(trial, bunChild("puppet"), env));
    await puppet.#hear();
    return puppet;
  }

  async #hear(): Promise<Answer> {
    const line = await this.#companion.hear();
    if (line !== null) return JSON.parse(line) as Answer;
    await this.kill();
    throw new Error(`a process ${howItEnded(await this.#companion.ended())}`);
  }

  get pid(): number {
    return this.#companion.pid;
  }

  /** What came of it, good or bad. */
  ask(line: string): Promise<Answer> {
    this.#companion.say(line);
    return this.#hear();
  }

  /** The value; an error is thrown. */
  async tell<T = unknown>(line: string): Promise<T> {
    const { value, code, message } = await this.ask(line);
    if (code) throw new Error(`${line}: ${code}: ${message}`);
    return value as T;
  }

  signal(name: NodeJS.Signals): void {
    this.#companion.signal(name);
  }

  kill(): Promise<void> {
    return this.#companion.kill();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.kill();
  }
}
