import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { parseExchanges } from "../../examples/yfinance/exchanges.ts";
import { type Poll, YahooQuotes } from "../../examples/yfinance/yahoo.ts";
import { flow, flowRequests, quoteRequest, quotes, refusal, YahooServer } from "./yahoo.ts";

setDefaultTimeout(60_000);

const shared = join(import.meta.dir, "../../../shared/data/yahoo");

const prices = (...prices: number[]): Poll => ({ kind: "prices", prices });

describe("a poll, through yahoo-finance2 and a real server", () => {
  test("goes through consent and crumb once, then only asks for quotes", async () => {
    await using yahoo = new YahooServer([
      ...flow,
      ...quotes({ MSFT: 1.5, AAPL: 2 }, { MSFT: 1.25, AAPL: 3 }),
    ]);
    const source = await YahooQuotes.open(["AAPL", "MSFT"], yahoo.fetch);
    expect(await source.poll()).toEqual(prices(2, 1.5));
    expect(await source.poll()).toEqual(prices(3, 1.25));
    expect(yahoo.requests).toEqual([...flowRequests, quoteRequest, quoteRequest]);
  });

  test("makes NaN of what is missing: delisted, unknown, without a price, or no number", async () => {
    const list = quotes({ MSFT: 7, GONE: null });
    const [{ response }] = list as [(typeof list)[0]];
    const { result } = (response.bodyJson as { quoteResponse: { result: object[] } }).quoteResponse;
    result.push(
      { symbol: "HALTED", quoteType: "EQUITY" },
      { symbol: "TEXT", quoteType: "EQUITY", regularMarketPrice: "12" },
    );
    await using yahoo = new YahooServer([...flow, ...list]);
    const source = await YahooQuotes.open(["GONE", "NOSUCH", "HALTED", "TEXT", "MSFT"], yahoo.fetch);
    expect(await source.poll()).toEqual(prices(NaN, NaN, NaN, NaN, 7));
  });

  test("gets a new crumb when the old one is no longer good", async () => {
    await using yahoo = new YahooServer([...flow, ...quotes({ MSFT: 1 }, { MSFT: 2 })]);
    const source = await YahooQuotes.open(["MSFT"], yahoo.fetch);
    await source.poll();
    yahoo.next.push(() => refusal(401, "Unauthorized", "Invalid Crumb"));
    expect(await source.poll()).toEqual(prices(2));
    expect(yahoo.requests).toEqual([
      ...flowRequests,
      quoteRequest,
      quoteRequest,
      ...flowRequests,
      quoteRequest,
    ]);
  });

  test("says what is wrong, and is right again when Yahoo is", async () => {
    await using yahoo = new YahooServer([...flow, ...quotes({ MSFT: 1 })]);
    const source = await YahooQuotes.open(["MSFT"], yahoo.fetch);
    const failure = async (...answers: (() => Response)[]) => {
      yahoo.next.push(...answers);
      const poll = await source.poll();
      yahoo.next.length = 0;
      expect(await source.poll()).toEqual(prices(1));
      return poll as { reason: string; waitMs?: number };
    };
    const host = "query2.finance.yahoo.com";
    const tooMany = (headers: Record<string, string> = {}) =>
      new Response("Too Many Requests\r\n", { status: 429, statusText: "Too Many Requests", headers });
    expect(await failure(() => tooMany())).toEqual({
      kind: "failure",
      reason: `${host} answers 429 Too Many Requests`,
    } as never);
    expect(await failure(() => tooMany({ "retry-after": "7" }))).toMatchObject({ waitMs: 7000 });
    const invalid = () => refusal(401, "Unauthorized", "Invalid Crumb");
    expect((await failure(invalid, invalid)).reason).toBe(`${host} answers 401 Invalid Crumb`);
    expect((await failure(() => refusal(500, "Internal", "oops"))).reason).toBe(`${host} answers 500 oops`);
    expect((await failure(() => new Response("<html>"))).reason).toMatch(/not parsable/);
    expect(
      (await failure(() => Response.json({ quoteResponse: { result: [{ symbol: 5 }] } }))).reason,
    ).toMatch(/no list of quotes/);
    expect((await failure(() => Response.json([]))).reason).toMatch(/Unexpected result/);
  });

  test("fails when the crumb cannot be had, or Yahoo is out of reach, and says so", async () => {
    const crumbless = flow.map((one) =>
      one.request.url.endsWith("/getcrumb")
        ? { ...one, response: { ...one.response, status: 429, statusText: "Too Many Requests" } }
        : one,
    );
    await using yahoo = new YahooServer([...crumbless, ...quotes({ MSFT: 1 })]);
    const source = await YahooQuotes.open(["MSFT"], yahoo.fetch);
    const [first, second] = [await source.poll(), await source.poll()];
    expect(first).toEqual({
      kind: "failure",
      reason: "query1.finance.yahoo.com answers 429 Too Many Requests",
    });
    expect(second).toEqual(first);
    const gone = await YahooQuotes.open(["MSFT"], () => fetch("http://127.0.0.1:1/"));
    expect(await gone.poll()).toEqual({
      kind: "failure",
      reason: expect.stringMatching(/^Yahoo is out of reach: ECONNREFUSED/),
    });
  });

  test("asks for many symbols in parts, and gives all or nothing", async () => {
    const symbols = Array.from({ length: 250 }, (_, i) => `S${i}`);
    const list = Object.fromEntries(symbols.map((symbol, i) => [symbol, i + 0.5]));
    await using yahoo = new YahooServer([...flow, ...quotes(list)]);
    const source = await YahooQuotes.open(symbols, yahoo.fetch);
    expect(await source.poll()).toEqual(prices(...symbols.map((_, i) => i + 0.5)));
    expect(yahoo.requests.filter((one) => one === quoteRequest)).toHaveLength(3);
    yahoo.next.push(
      () =>
        Response.json({ quoteResponse: { result: [{ symbol: "S0", regularMarketPrice: 9 }], error: null } }),
      () => new Response("", { status: 503, statusText: "Service Unavailable" }),
    );
    expect(await source.poll()).toMatchObject({ kind: "failure" });
  });
});

if (!existsSync(shared))
  console.warn(`SKIPPED: ${shared} is not there; nothing is tested with real recordings`);
describe.skipIf(!existsSync(shared))("real recordings of Yahoo's", () => {
  const read = async (...names: string[]) =>
    (await Promise.all(names.map((name) => Bun.file(join(shared, `${name}.json`)).text()))).flatMap(
      parseExchanges,
    );
  const consent = () =>
    read(
      ...["", "-consent.html", "-collectConsent.html", "-collectConsentSubmit", "-copyConsent"].map(
        (step) => `getCrumb-quote-AAPL${step}`,
      ),
      "getCrumb-quote-AAPL-consent-final-redirect.html",
      "getCrumb-getcrumb",
    );

  test("consent, crumb, and quotes; a delisted symbol is NaN", async () => {
    await using yahoo = new YahooServer([
      ...(await consent()),
      ...(await read("quote-AAPL-BABA", "quote-GOOG", "quote-SIX")),
    ]);
    const open = (...symbols: string[]) => YahooQuotes.open(symbols, yahoo.fetch);
    const pair = await open("BABA", "AAPL");
    const [baba, aapl] = ((await pair.poll()) as { prices?: number[] }).prices ?? [];
    expect([baba, aapl]).toEqual([expect.any(Number), expect.any(Number)]);
    expect(yahoo.requests.slice(0, 7)).toEqual(flowRequests);
    const google = await open("GOOG", "SIX");
    expect(await google.poll()).toEqual(prices(NaN, NaN)); // the recorded turn of AAPL and BABA
    expect(await google.poll()).toEqual(prices(186.87, NaN));
    expect(await google.poll()).toEqual(prices(NaN, NaN)); // SIX is delisted: an empty list
  });

  test("429 and an invalid crumb, as they were reported", async () => {
    const [tooMany, invalid] = await read("constructed-quote-429", "constructed-quote-401-invalid-crumb");
    const [good] = await read("quote-GOOG");
    await using yahoo = new YahooServer([...(await consent()), tooMany!, good!, invalid!, good!]);
    const source = await YahooQuotes.open(["GOOG"], yahoo.fetch);
    expect(await source.poll()).toMatchObject({ kind: "failure", reason: expect.stringContaining("429") });
    expect(await source.poll()).toEqual(prices(186.87));
    expect(await source.poll()).toEqual(prices(186.87));
    expect(yahoo.requests.filter((one) => one.endsWith("/getcrumb"))).toHaveLength(2);
  });

  test("a crumb that is refused with 429", async () => {
    const [refused] = await read("constructed-getcrumb-429");
    const steps = (await consent()).slice(0, -1);
    await using yahoo = new YahooServer([...steps, refused!, ...(await read("quote-GOOG"))]);
    const source = await YahooQuotes.open(["GOOG"], yahoo.fetch);
    expect(await source.poll()).toEqual({
      kind: "failure",
      reason: "query1.finance.yahoo.com answers 429 Too Many Requests",
    });
  });
});
