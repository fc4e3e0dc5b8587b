/** Recorded HTTP exchanges: played in the place of a server, and made from a real one. */
import { z } from "zod";

/** A request and what came back; `bodyJson` or `bodyText`. The shape of yahoo-finance2's own test recordings. */
export const exchange = z.object({
  request: z.object({ url: z.url(), method: z.string().default("GET") }),
  response: z.object({
    status: z.number().int(),
    statusText: z.string().default(""),
    headers: z.record(z.string(), z.union([z.string(), z.array(z.string())])).default({}),
    bodyJson: z.unknown().optional(),
    bodyText: z.string().optional(),
  }),
});

export type Exchange = z.infer<typeof exchange>;

export type Fetch = (url: string, init?: RequestInit) => Promise<Response>;

/** The exchanges of a file: a JSON array of them, or one. */
export function parseExchanges(json: string): Exchange[] {
  const read = z.union([z.array(exchange), exchange]).safeParse(JSON.parse(json));
  if (!read.success)
    throw new Error(`no recorded HTTP exchanges: ${read.error.issues[0]?.message} in the file`);
  return [read.data].flat();
}

/** The symbols that a request for quotes asks for; undefined for other requests. */
export function symbolsAsked(url: URL): string[] | undefined {
  return /\/finance\/quote$/.test(url.pathname) ? url.searchParams.get("symbols")?.split(",") : undefined;
}

/**
 * Answers as the recordings say: a request gets the first one of the same method, host and path, the next time the second, and so on,
 * over and over. A recorded list of quotes is cut to the symbols that are asked for.
 */
export class Replay {
  readonly #exchanges: readonly Exchange[];
  readonly #turns = new Map<string, number>();

  constructor(exchanges: readonly Exchange[]) {
    this.#exchanges = exchanges;
  }

  /** All symbols for which there is a quote. */
  get symbols(): string[] {
    return [
      ...new Set(this.#exchanges.flatMap(({ response }) => quotesIn(response).map(({ symbol }) => symbol))),
    ];
  }

  readonly fetch: Fetch = async (text, init) => {
    const url = new URL(text);
    const method = init?.method ?? "GET";
    const place = (one: URL) => `${one.host}${one.pathname}`;
    const fitting = this.#exchanges.filter(
      ({ request }) => request.method === method && place(new URL(request.url)) === place(url),
    );
    const symbols = symbolsAsked(url);
    const key = `${method} ${place(url)} ${symbols?.join() ?? ""}`;
    const turn = this.#turns.get(key) ?? 0;
    this.#turns.set(key, turn + 1);
    const found = fitting[turn % fitting.length];
    if (!found) return new Response(`nothing is recorded for ${method} ${place(url)}`, { status: 404 });
    return toResponse(found.response, symbols);
  };
}

const quoteList = z.object({
  quoteResponse: z.object({ result: z.array(z.looseObject({ symbol: z.string() })) }),
});

function quotesIn({ bodyJson }: Exchange["response"]) {
  return quoteList.safeParse(bodyJson).data?.quoteResponse.result ?? [];
}

/** The body is stored as it reads, not as it was sent. */
const aboutTheWire = new Set(["content-length", "content-encoding", "transfer-encoding", "connection"]);

function toResponse(response: Exchange["response"], symbols: readonly string[] | undefined): Response {
  const headers = new Headers();
  for (const [name, values] of Object.entries(response.headers))
    if (!aboutTheWire.has(name)) for (const value of [values].flat()) headers.append(name, value);
  const { status, statusText, bodyText = "" } = response;
  const quotes = quotesIn(response);
  const body =
    symbols && quotes.length > 0
      ? { quoteResponse: { result: quotes.filter(({ symbol }) => symbols.includes(symbol)), error: null } }
      : response.bodyJson;
  return new Response(body === undefined ? bodyText : JSON.stringify(body), { status, statusText, headers });
}

/** Passes requests on, and calls `keep` with each exchange, without cookies and crumbs: those are somebody's own. */
export function recorded(fetch: Fetch, keep: (exchange: Exchange) => void): Fetch {
  return async (url, init) => {
    const response = await fetch(url, init);
    const text = await response.clone().text();
    const headers: Record<string, string | string[]> = {};
    for (const name of ["content-type", "location", "retry-after"]) {
      const value = response.headers.get(name);
      if (value !== null) headers[name] = value;
    }
    const cookies = response.headers.getSetCookie();
    if (cookies.length > 0) headers["set-cookie"] = cookies.map((cookie) => cookie.replace(/=[^;]*/, "=x"));
    const { status, statusText } = response;
    keep({
      request: { url: url.replace(/([?&]crumb=)[^&]*/, "$1x"), method: init?.method ?? "GET" },
      response: { status, statusText, headers, ...bodyOf(url, text) },
    });
    return response;
  };
}

function bodyOf(url: string, text: string): { bodyJson: unknown } | { bodyText: string } {
  if (url.endsWith("/getcrumb")) return { bodyText: "x" };
  try {
    return { bodyJson: JSON.parse(text) as unknown };
  } catch {
    return { bodyText: text };
  }
}
