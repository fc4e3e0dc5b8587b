/** Quotes from Yahoo Finance, through yahoo-finance2. */
import type YahooFinance from "yahoo-finance2";
import { z } from "zod";
import { optional } from "../optional.ts";
import type { Fetch } from "./exchanges.ts";

/** What one poll gave: a price per symbol, NaN where there is none; or why there is nothing at all. */
export type Poll =
  | { readonly kind: "prices"; readonly prices: readonly number[]; readonly date?: string }
  | {
      readonly kind: "failure";
      /** A sentence without a stop. */
      readonly reason: string;
      /** How long the server wants to be left alone. */
      readonly waitMs?: number;
    };

/** Where prices come from. A poll never rejects. */
export interface Quotes {
  readonly symbols: readonly string[];
  poll(): Promise<Poll>;
}

type Client = InstanceType<typeof YahooFinance>;

const symbolsPerRequest = 100;
const timeoutMs = 15_000;

const quoteList = z.array(
  z.looseObject({ symbol: z.string(), regularMarketPrice: z.number().optional().catch(undefined) }),
);

/** An answer that says no. */
class HttpFailure extends Error {
  readonly status: number;
  readonly waitMs: number | undefined;

  constructor(url: string, response: Response, body: string) {
    const said = body.match(/"description":\s*"([^"]{1,120})"/)?.[1] ?? response.statusText;
    super(`${new URL(url).host} answers ${response.status} ${said}`.trim());
    this.status = response.status;
    const seconds = Number(response.headers.get("retry-after") ?? NaN);
    this.waitMs = seconds >= 0 ? seconds * 1000 : undefined;
  }
}

export class YahooQuotes implements Quotes {
  readonly symbols: readonly string[];
  readonly #open: () => Client;
  #client: Client;

  private constructor(symbols: readonly string[], open: () => Client) {
    this.symbols = symbols;
    this.#open = open;
    this.#client = open();
  }

  /** `fetch` sends the requests; the network's own, a recording, a detour. */
  static async open(symbols: readonly string[], fetch: Fetch): Promise<YahooQuotes> {
    const [{ default: Yahoo }, { ExtendedCookieJar }] = await optional("yahoo-finance2", () =>
      Promise.all([import("yahoo-finance2"), import("yahoo-finance2/lib/cookieJar")]),
    );
    const silent = () => {};
    const logger = { info: silent, warn: silent, error: silent, debug: silent, dir: silent };
    return new YahooQuotes(
      symbols,
      () =>
        new Yahoo({
          fetch: checked(fetch) as typeof globalThis.fetch,
          // The crumb is remembered by the jar: a new jar is a new session.
          cookieJar: new ExtendedCookieJar(),
          versionCheck: false,
          suppressNotices: ["yahooSurvey"],
          logger,
        }),
    );
  }

  async poll(): Promise<Poll> {
    try {
      return await this.#ask();
    } catch (error) {
      // The crumb or the session is no longer good; nothing but a new one helps, and that at once.
      if (error instanceof HttpFailure && (error.status === 401 || error.status === 403))
        return this.#askAnew();
      return this.#failure(error);
    }
  }

  async #askAnew(): Promise<Poll> {
    this.#client = this.#open();
    return this.#ask().catch((error: unknown) => this.#failure(error));
  }

  async #ask(): Promise<Poll> {
    const prices = new Map<string, number>();
    for (let i = 0; i < this.symbols.length; i += symbolsPerRequest) {
      const asked = this.symbols.slice(i, i + symbolsPerRequest);
      const answer = await this.#client.quote(
        asked,
        { fields: ["symbol", "regularMarketPrice"], return: "array" },
        // Yahoo adds and drops fields as it likes; these two are checked here.
        { validateResult: false },
      );
      for (const { symbol, regularMarketPrice } of quoteList.parse(answer))
        if (regularMarketPrice !== undefined) prices.set(symbol.toUpperCase(), regularMarketPrice);
    }
    return {
      kind: "prices",
      prices: this.symbols.map((symbol) => prices.get(symbol.toUpperCase()) ?? NaN),
    };
  }

  #failure(error: unknown): Poll {
    if (error instanceof HttpFailure && error.status === 429)
      return {
        kind: "failure",
        reason: error.message,
        ...(error.waitMs !== undefined && { waitMs: error.waitMs }),
      };
    // Whatever went wrong, it may have left half a session.
    this.#client = this.#open();
    return { kind: "failure", reason: sentence(error) };
  }
}

/** Makes of every refusal an error of ours: yahoo-finance2's have no headers, and it prints the address to the terminal. */
function checked(fetch: Fetch): Fetch {
  return async (url, init) => {
    const response = await fetch(url, { ...init, signal: AbortSignal.timeout(timeoutMs) });
    if (response.status < 400) return response;
    throw new HttpFailure(url, response, await response.text());
  };
}

function sentence(error: unknown): string {
  if (error instanceof z.ZodError) return "Yahoo's answer is no list of quotes";
  const { name, message, code } = error as Error & { code?: unknown };
  if (name === "TimeoutError") return `no answer from Yahoo within ${timeoutMs / 1000} s`;
  const isNetwork =
    typeof code === "string" && /^(Connection|E[A-Z]+|FailedToOpenSocket|UNABLE_TO)/.test(code);
  return isNetwork ? `Yahoo is out of reach: ${message}` : message;
}
