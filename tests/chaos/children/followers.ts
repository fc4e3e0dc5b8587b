// A process with any number of followers. Each judges every state that it gets by itself.
import { readdirSync, readFileSync } from "node:fs";
import { heapStats } from "bun:jsc";
import { start, type Node, type Update } from "../../../src/index.ts";
import { digest, look } from "../picture.ts";
import { tallyUp } from "../tally.ts";
import { serve } from "./serve.ts";

const patienceMs = 30_000;
const messagesMax = 5;
const agesMax = 10_000;
const kept = new Map<string, Follower>();

class Follower implements AsyncDisposable {
  readonly node: Node;
  readonly wrong: string[] = [];
  updates = 0;
  connects = 0;
  fullDeltas = 0;
  readonly tally: Record<string, number> = {};
  /** From the end of a link to the next state, ms. */
  readonly resumes: number[] = [];
  /** Moments (performance.now) of the first state after each start and loss. */
  readonly back: number[] = [];
  /** From a commit to its arrival, ms. */
  readonly ages: number[] = [];
  lostAt: number | null = null;
  lastUpdateAt = 0;
  /** After the longest time without any, from the first new state to the newest, ms. */
  #gap = { ms: 0, endedAt: 0 };
  #source = -1;
  #salt = -1;
  readonly #checks: boolean;
  /** In the mode "every": versions left out that nobody has told of, and what was told of none. */
  readonly #isEvery: boolean;
  readonly #gaps = new Set<string>();
  readonly #told = new Set<string>();

  private constructor(node: Node, checks: boolean, isEvery: boolean) {
    this.node = node;
    this.#checks = checks;
    this.#isEvery = isEvery;
    node.on("conflated", ({ from, version }) => {
      const gap = `${from} to ${version}`;
      if (!this.#gaps.delete(gap)) this.#told.add(gap);
    });
    node.on("error", (error) => this.#count(String(error.details["reason"] ?? error.code)));
    node.on("connect", () => this.connects++);
    node.on("disconnect", ({ reason }) => {
      this.lostAt ??= performance.now();
      this.#count(`end: ${reason}`);
    });
  }

  static async start(name: string, options: Record<string, unknown>, checks = true): Promise<Follower> {
    let follower: Follower | null = null;
    const early: Update[] = [];
    const onUpdate = (update: Update) => (follower ? follower.#updated(update) : void early.push(update));
    const node = await start(name, { onUpdate, ...options });
    follower = new Follower(node, checks, options["mode"] === "every");
    for (const update of early) follower.#updated(update);
    return follower;
  }

  #count(what: string): void {
    tallyUp(this.tally, what);
  }

  #complain(text: string): void {
    if (this.wrong.length < messagesMax) this.wrong.push(`${this.node.name}: ${text}`);
  }

  #updated(update: Update): void {
    this.updates++;
    const now = performance.now();
    if (now - this.lastUpdateAt > this.#gap.ms && this.updates > 1)
      this.#gap = { ms: now - this.lastUpdateAt, endedAt: now };
    this.lastUpdateAt = now;
    if ((this.lostAt !== null || this.updates === 1) && this.back.length < agesMax) this.back.push(now);
    if (this.lostAt !== null && this.resumes.length < agesMax) this.resumes.push(now - this.lostAt);
    this.lostAt = null;
    if (update.full) this.fullDeltas++;
    if (!this.#checks) return;
    const { version, salt, wrong, ageMs } = look(this.node);
    if (this.updates > 1 && this.ages.length < agesMax) this.ages.push(ageMs);
    if (wrong) this.#complain(wrong);
    if (version !== update.sourceVersion) this.#complain(`version ${update.sourceVersion} holds ${version}`);
    if (salt === this.#salt && version <= this.#source)
      this.#complain(`version ${version} after ${this.#source}`);
    if (this.#isEvery && (salt === this.#salt || this.#source === 0) && version > this.#source + 1)
      this.#gaps.add(`${this.#source} to ${version}`);
    this.#source = version;
    this.#salt = salt;
  }

  get version(): number {
    return this.#source;
  }

  async until(isDone: () => boolean, what: string, ms = patienceMs): Promise<void> {
    const end = performance.now() + ms;
    while (!isDone()) {
      if (performance.now() > end)
        return this.#complain(`waited in vain for ${what}; ${JSON.stringify(this.tally)}`);
      await Bun.sleep(1);
    }
  }

  report() {
    if (this.#gaps.size > 0) this.#complain(`not told: ${[...this.#gaps].join(", ")}`);
    if (this.#told.size > 0) this.#complain(`told, but no gap: ${[...this.#told].join(", ")}`);
    const { connects, updates, fullDeltas, tally, resumes, ages, wrong } = this;
    const link = this.node.stats().links[0];
    const { [this.node.name]: _, ...sources } = this.node.version;
    return {
      ...digest(this.node),
      source: Object.values(sources)[0] ?? 0,
      connects,
      updates,
      fullDeltas,
      tally,
      resumes,
      ages,
      wrong,
      link,
      endOfGap: this.lastUpdateAt - this.#gap.endedAt,
    };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.node.close();
  }
}

await serve({
  /** Follows until so many states have come, and leaves. */
  async session(name: string, options: Record<string, unknown>, updates: number) {
    await using follower = await Follower.start(name, options);
    await follower.until(() => follower.updates >= updates, `${updates} states`);
    return follower.report();
  },
  async follow(name: string, options: Record<string, unknown>, checks = true) {
    const follower = await Follower.start(name, options, checks);
    kept.set(name, follower);
    await follower.node.ready;
    return follower.report();
  },
  /** The same, many at once. They are there when all of them are, or, with `waits` false, at once: these need a shape. */
  async crowd(count: number, options: Record<string, unknown>, waits = true) {
    const first = kept.size;
    const begun = Array.from({ length: count }, async (_, i) => {
      const follower = await Follower.start(`f${process.pid}-${first + i}`, options, false);
      kept.set(`f${first + i}`, follower);
      if (waits) await follower.node.ready;
    });
    await Promise.all(begun);
  },
  /** From commits to their arrival since the last time that was asked. */
  takeAges: (name: string) => kept.get(name)!.ages.splice(0),
  report: (name: string) => kept.get(name)!.report(),
  /** Waits until a follower has this version. */
  async reaches(name: string, version: number, ms = patienceMs) {
    const follower = kept.get(name)!;
    const begun = performance.now();
    await follower.until(() => follower.version >= version, `version ${version}`, ms);
    return performance.now() - begun;
  },
  /** What happened in the crowd since `since` (performance.now of this process): when each was back, ms. */
  backSince: (since: number) =>
    [...kept.values()].flatMap(({ back }) =>
      back
        .filter((at) => at >= since)
        .slice(0, 1)
        .map((at) => at - since),
    ),
  now: () => performance.now(),
  lost: () => [...kept.values()].filter(({ lostAt }) => lostAt !== null).length,
  connected: () => [...kept.values()].filter(({ node }) => node.stats().links[0]?.connected).length,
  digests: () => [...new Set([...kept.values()].map(({ node }) => digest(node).sha))],
  async close(name: string) {
    await kept.get(name)?.node.close();
    kept.delete(name);
  },
  async closeAll() {
    await Promise.all([...kept.values()].map(({ node }) => node.close()));
    kept.clear();
  },
  setRate: (name: string, server: string, rate: number | null) => kept.get(name)!.node.setRate(server, rate),
  block(ms: number) {
    const end = performance.now() + ms;
    while (performance.now() < end);
  },
  usage() {
    Bun.gc(true);
    const pages = Number(readFileSync("/proc/self/statm", "utf8").split(" ")[1]);
    return {
      rss: pages * 4096,
      heap: heapStats().heapSize,
      descriptors: readdirSync("/proc/self/fd").length,
    };
  },
});
process.exit(0);
