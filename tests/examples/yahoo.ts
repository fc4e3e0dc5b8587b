/** A server that answers as Yahoo Finance does: recordings, behind the cookies and the crumb that Yahoo wants to see. */
import { join } from "node:path";
import {
  type Exchange,
  type Fetch,
  parseExchanges,
  Replay,
  symbolsAsked,
} from "../../examples/yfinance/exchanges.ts";

export const recordings = join(import.meta.dir, "../../examples/yfinance/quotes.json");

/** The project's own recordings. */
export const own = parseExchanges(await Bun.file(recordings).text());
/** The consent and crumb flow of them. */
export const flow = own.filter(({ request }) => !request.url.includes("/v7/finance/quote"));
export const flowRequests = [
  "GET finance.yahoo.com/quote/AAPL",
  "GET guce.yahoo.com/consent",
  "GET consent.yahoo.com/v2/collectConsent",
  "POST consent.yahoo.com/v2/collectConsent",
  "GET guce.yahoo.com/copyConsent",
  "GET finance.yahoo.com/quote/AAPL",
  "GET query1.finance.yahoo.com/v1/test/getcrumb",
];
export const quoteRequest = "GET query2.finance.yahoo.com/v7/finance/quote";

export class YahooServer implements AsyncDisposable {
  /** Requests, as method, host and path, in the order in which they came. */
  readonly requests: string[] = [];
  /** The crumb that is good; others get 401 from now on. */
  crumb: string;
  /** Answers the next requests for quotes instead of the recordings; the first one first. */
  readonly next: (() => Response | Promise<Response>)[] = [];
  readonly #server: Bun.Server<undefined>;
  readonly #replay: Replay;

  constructor(exchanges: readonly Exchange[]) {
    this.#replay = new Replay(exchanges);
    const crumb = exchanges.find(({ request }) => request.url.endsWith("/getcrumb"))?.response.bodyText;
    this.crumb = crumb ?? "";
    this.#server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: (request) => this.#answer(request),
    });
  }

  get url(): string {
    return `http://127.0.0.1:${this.#server.port}`;
  }

  /** Sends what is meant for https://HOST/PATH to this server. */
  readonly fetch: Fetch = (url, init) => fetch(url.replace(/^https:\/\//, `${this.url}/`), init);

  async #answer(request: Request): Promise<Response> {
    const url = new URL(`https:/${new URL(request.url).pathname}${new URL(request.url).search}`);
    this.requests.push(`${request.method} ${url.host}${url.pathname}`);
    const symbols = symbolsAsked(url);
    if (!symbols) return this.#replay.fetch(url.href, { method: request.method });
    const instead = this.next.shift();
    if (instead) return instead();
    const isKnown =
      request.headers.get("cookie")?.includes("A3=") && url.searchParams.get("crumb") === this.crumb;
    return isKnown ? this.#replay.fetch(url.href) : refusal(401, "Unauthorized", "Invalid Crumb");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.stop(true);
  }
}

/** What Yahoo says no with. */
export function refusal(status: number, code: string, description: string): Response {
  return Response.json(
    { finance: { result: null, error: { code, description } } },
    { status, statusText: code },
  );
}

/** As many exchanges as there are lists: each answers a request for quotes. */
export function quotes(...lists: readonly Record<string, number | null>[]): Exchange[] {
  return lists.map((list) => ({
    request: { url: "https://query2.finance.yahoo.com/v7/finance/quote", method: "GET" },
    response: {
      status: 200,
      statusText: "OK",
      headers: { "content-type": "application/json;charset=utf-8" },
      bodyJson: {
        quoteResponse: {
          result: Object.entries(list).map(([symbol, price]) => ({
            language: "en-US",
            region: "US",
            quoteType: price === null ? "NONE" : "EQUITY",
            symbol,
            ...(price !== null && { regularMarketPrice: price }),
          })),
          error: null,
        },
      },
    },
  }));
}
