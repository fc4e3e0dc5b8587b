import { Actor, type ActorOptions } from "./actor.ts";
import { honest, type Plan } from "./plan.ts";
import { ChaosProxy, type LinkRecord } from "./proxy.ts";

export interface Usage {
  readonly rss: number;
  /** Of it, what JavaScript uses after a collection. */
  readonly heap: number;
  readonly descriptors: number;
  readonly cpuMs: number;
}

/** What a follower says of itself. */
export interface Report {
  /** What its metadata say. */
  readonly version: number;
  /** The server's version that the node says it has. */
  readonly source: number;
  readonly sha: string;
  readonly connects: number;
  readonly updates: number;
  readonly fullDeltas: number;
  /** Codes of errors and ends of links, counted. */
  readonly tally: Readonly<Record<string, number>>;
  /** From the end of a link to the next state, ms. */
  readonly resumes: readonly number[];
  /** From a commit to its arrival, ms. */
  readonly ages: readonly number[];
  readonly wrong: readonly string[];
}

/** One door of the proxy, through which one follower at a time goes. */
export class Lane implements Disposable {
  readonly proxy: ChaosProxy;
  /** The proxy's, as an address of the kind that it leads to. */
  readonly address: string;
  #planOf: (link: number) => Plan = () => honest;

  constructor(target: string, seed: number) {
    this.proxy = new ChaosProxy(target, (link) => this.#planOf(link), seed);
    const scheme = /^(tls:|wss?:\/\/)?/.exec(target)![0];
    this.address = `${scheme}${this.proxy.address}`;
  }

  /** From now on the links, the next one being number 0, go by these plans. */
  arm(planOf: (link: number) => Plan): void {
    this.proxy.forget();
    this.#planOf = planOf;
  }

  get links(): readonly LinkRecord[] {
    return this.proxy.links;
  }

  [Symbol.dispose](): void {
    this.proxy[Symbol.dispose]();
  }
}

export interface StageOptions {
  readonly cells?: number;
  readonly stride?: number;
  readonly lanes?: number;
  /** Which of the publisher's addresses they lead to. */
  readonly door?: number;
  readonly seed: number;
  readonly publisher?: Record<string, unknown>;
  readonly hashes?: boolean;
  /** How the two processes are run. */
  readonly actors?: ActorOptions;
}

/** Reconnects at once: what is tested is how a link ends and what the next one makes of it, not how long one waits. */
export const eager = { reconnect: { minMs: 1, maxMs: 5 } };

/** A publisher, a process of followers, and lanes between them. */
export class Stage implements AsyncDisposable {
  readonly publisher: Actor;
  readonly followers: Actor;
  readonly lanes: readonly Lane[];
  /** Where the publisher listens. */
  readonly addresses: readonly string[];

  private constructor(
    publisher: Actor,
    followers: Actor,
    lanes: readonly Lane[],
    addresses: readonly string[],
  ) {
    this.publisher = publisher;
    this.followers = followers;
    this.lanes = lanes;
    this.addresses = addresses;
  }

  /** The first of them. */
  get address(): string {
    return this.addresses[0]!;
  }

  static async open(options: StageOptions): Promise<Stage> {
    const { cells = 64, stride, lanes = 16, door = 0, seed, actors = {} } = options;
    const publisher = new Actor("publisher", actors);
    const followers = new Actor("followers", actors);
    try {
      const { addresses } = await publisher.call<{ addresses: string[] }>("open", options.publisher ?? {}, {
        salt: seed >>> 0,
        cells,
        ...(stride && { stride }),
        hashes: options.hashes ?? true,
      });
      return new Stage(
        publisher,
        followers,
        Array.from({ length: lanes }, (_, i) => new Lane(addresses[door]!, seed + i)),
        addresses,
      );
    } catch (error) {
      await Promise.all([publisher.kill(), followers.kill()]);
      throw error;
    }
  }

  /** What is wrong with a follower's report: its own complaints, and another hash than the publisher's of that version. */
  async judge(report: Report): Promise<string[]> {
    const sha = await this.publisher.call<string | null>("shaOf", report.version);
    return sha === report.sha
      ? [...report.wrong]
      : [...report.wrong, `version ${report.version} differs from the publisher's`];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const lane of this.lanes) lane[Symbol.dispose]();
    await Promise.all([this.publisher.kill(), this.followers.kill()]);
  }
}
