/** The circular window of quotes: that of the tickers, whose metadata also tells of failed polls. */
import { z } from "zod";
import type { Node } from "../../src/index.ts";
import { windowMeta } from "../tickers/window.ts";
import type { Poll } from "./yahoo.ts";

export const quoteMeta = windowMeta.extend({
  /** Why the last poll gave nothing; absent when it did. The prices are those of the poll before. */
  failure: z.string().optional(),
  /** Failed polls in a row. */
  failures: z.number().int().nonnegative().default(0),
});

export type QuoteMeta = z.infer<typeof quoteMeta>;

/** The metadata of a window of quotes, or undefined where there is none yet. */
export function readQuoteMeta(meta: unknown): QuoteMeta | undefined {
  return quoteMeta.safeParse(meta).data;
}

const reasonCharactersMax = 300;

/**
 * Commits a poll: prices become the next column, NaN where one is missing. A failed poll changes no price at all, and the version says
 * why. Returns how many polls in a row have failed.
 */
export function commitPoll(node: Node, poll: Poll, now: Date): number {
  const before = readQuoteMeta(node.meta);
  const time = now.toISOString();
  if (poll.kind === "failure") {
    const { index = 0, tick = 0, failures = 0 } = before ?? {};
    const failure = poll.reason.slice(0, reasonCharactersMax);
    const meta = { index, tick, time, failure, failures: failures + 1 } satisfies QuoteMeta;
    node.write((_, tx) => (tx.meta = meta));
    return meta.failures;
  }
  node.write((a, tx) => {
    const index = before && before.tick > 0 ? (before.index + 1) % (a.shape[1] ?? 1) : 0;
    poll.prices.forEach((price, row) => a.set(row, index, price));
    const date = poll.date === undefined ? {} : { date: poll.date };
    tx.meta = { index, tick: (before?.tick ?? 0) + 1, time, failures: 0, ...date } satisfies QuoteMeta;
  });
  return 0;
}
