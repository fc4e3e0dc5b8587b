import { readdirSync } from "node:fs";

/** The runtime closes sockets, and opens files of its own, when it likes; a leak in each round would be more. */
const descriptorGrowthMax = 2;
/** The runtime starts threads of its own when it likes; a thread for each round would be more. */
const threadGrowthMax = 8;
const rssGrowthMax = 64 * 2 ** 20;

/** What this process has open and holds, to be the same after many rounds as after a few. */
export class Census {
  #before: { descriptors: number; threads: number; rss: number } | null = null;

  #count() {
    return {
      descriptors: readdirSync("/proc/self/fd").length,
      threads: readdirSync("/proc/self/task").length,
      rss: process.memoryUsage.rss(),
    };
  }

  /** After the rounds in which everything is opened that stays open. */
  mark(): void {
    this.#before = this.#count();
  }

  /** What has grown since the mark, in words; null: nothing. */
  grown(): string | null {
    if (!this.#before) return null;
    const now = this.#count();
    if (now.descriptors > this.#before.descriptors + descriptorGrowthMax)
      return `${this.#before.descriptors} descriptors became ${now.descriptors}`;
    if (now.threads > this.#before.threads + threadGrowthMax)
      return `${this.#before.threads} threads became ${now.threads}`;
    if (now.rss > this.#before.rss + rssGrowthMax)
      return `${this.#before.rss >> 20} MiB became ${now.rss >> 20} MiB`;
    return null;
  }
}
