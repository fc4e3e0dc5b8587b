import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { encodeSymbols, symbolBytes } from "../../examples/tickers/window.ts";
import { start } from "../../src/index.ts";
import { Browser, describeInBrowser } from "../browser/chromium.ts";
import { until } from "../node/until.ts";

setDefaultTimeout(30_000);

const root = join(import.meta.dir, "../..");
const timeoutMs = 60_000;

interface Running extends AsyncDisposable {
  readonly url: string;
}

const clientWs = (server: string, ...args: string[]) => run("examples/client_ws.ts", server, ...args);

/** Starts the program as a user would, and reads from its output where the page is. */
async function run(program: string, server: string, ...args: string[]): Promise<Running> {
  const child = Bun.spawn([process.execPath, program, "--server", server, "--port", "0", "--json", ...args], {
    cwd: root,
    stdout: "pipe",
    stderr: "inherit",
    stdin: "ignore",
  });
  const reader = child.stdout.getReader();
  const decoder = new TextDecoder();
  let said = "";
  while (!said.includes("\n")) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`${program} ended with ${await child.exited}`);
    said += decoder.decode(value, { stream: true });
  }
  // What it goes on saying must not fill the pipe.
  void (async () => {
    while (!(await reader.read()).done);
  })();
  return {
    url: (JSON.parse(said.split("\n")[0]!) as { page: string }).page,
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      expect(await child.exited).toBe(0);
    },
  };
}

const text = (id: string) => `document.getElementById("${id}").textContent`;
const shown = `Array.from(memblast.client.data("view"))`;

test("the page's server answers to its own names only, loads nothing from elsewhere, and has nothing else", async () => {
  await using node = await start("server", { listen: 0, shape: [2, 2] });
  await using page = await clientWs(node.addresses[0]!);
  const get = (path: string, host?: string, method = "GET") =>
    fetch(new URL(path, page.url), { method, ...(host !== undefined && { headers: { host } }) });
  const { port } = new URL(page.url);
  for (const path of ["/", "/status", "/nothing", "/../package.json"]) {
    expect((await get(path, "attacker.example")).status).toBe(421);
    expect((await get(path, `10.0.0.5:${port}`)).status).toBe(421);
  }
  expect((await get("/", `localhost:${port}`)).status).toBe(200);
  expect((await get("/client_ws.ts")).status).toBe(404);
  expect((await get("/", undefined, "POST")).status).toBe(405);
  const response = await get("/");
  const policy = response.headers.get("content-security-policy")!;
  expect(policy).toContain("default-src 'none'");
  const html = await response.text();
  expect(html).not.toMatch(/(?:src|href)="(?:https?:)?\/\//);
  const status = (await (await get("/status")).json()) as object;
  expect(status).toMatchObject({ server: node.addresses[0]!, connected: true });
});

describeInBrowser("the page of client_ws", () => {
  let browser: Browser;
  beforeAll(() => {
    browser = new Browser({ width: 1000, height: 800 });
  });
  afterAll(() => browser[Symbol.dispose]());

  test(
    "lists the arrays and shows values, version, metadata, and a region that is picked with the mouse",
    async () => {
      await using node = await start("grid", {
        listen: 0,
        shape: [10, 20],
        arrays: { line: { shape: [300], dtype: "f32" }, cube: { shape: [3, 4, 5], dtype: "u8" } },
      });
      node.write((a, tx) => {
        for (let i = 0; i < 200; i++) a.set(Math.floor(i / 20), i % 20, i);
        for (let i = 0; i < 300; i++) tx.array("line").set(i, Math.sin(i / 20));
        tx.array("cube").set(2, 3, 4, 99);
        tx.meta = { step: 7 };
      });
      await using page = await clientWs(node.addresses[0]!, "--check-hash");
      await browser.open(page.url);
      await browser.until("memblast.client.version > 0");
      expect(await browser.evaluate<number[]>(shown)).toEqual([...(node.ndarray().data as Float64Array)]);
      await browser.until(`${text("meta")}.includes('"step": 7')`);
      await browser.until(`${text("peer")} === "client_ws"`);
      await browser.until(`${text("where")}.includes("version 1 there")`);
      const names = `Array.from(document.querySelectorAll("nav button"), (each) => each.textContent)`;
      expect(await browser.evaluate<string[]>(names)).toEqual([
        "main arrayf64 10 × 20",
        "linef32 300",
        "cubeu8 3 × 4 × 5",
      ]);
      expect(await browser.evaluate<string>(text("title"))).toBe("main array · f64 · 10 × 20");

      // From the middle of cell [2, 3] to the middle of cell [5, 8].
      const { x, y, width, height } = await browser.evaluate<DOMRect>(
        `document.getElementById("plot").getBoundingClientRect().toJSON()`,
      );
      const cell = (row: number, column: number) =>
        [x + ((column + 0.5) / 20) * width, y + ((row + 0.5) / 10) * height] as const;
      await browser.drag(cell(2, 3), cell(3, 4), cell(5, 8));
      await browser.until(`${shown}.length === 24`);
      expect(await browser.evaluate<number[]>(shown)).toEqual(
        [2, 3, 4, 5].flatMap((row) => [3, 4, 5, 6, 7, 8].map((column) => row * 20 + column)),
      );
      expect(await browser.evaluate<string>(text("title"))).toContain("rows 2 to 5, columns 3 to 8");
      node.write((a) => a.set(5, 8, -1));
      await browser.until(`${shown}.at(-1) === -1`);
      await browser.view.press("Escape");
      await browser.until(`${shown}.length === 200`);

      await browser.view.click("nav button:nth-child(2)");
      await browser.until(`${shown}.length === 300`);
      expect(
        await browser.evaluate<string>(`document.getElementById("lines").getAttribute("aria-pressed")`),
      ).toBe("true");
      await browser.view.click("nav button:nth-child(3)");
      await browser.until(`${shown}.length === 20`);
      await browser.evaluate(
        `(() => { const field = document.querySelector("#lead input"); field.value = 2; field.onchange(); })()`,
      );
      await browser.until(`${shown}.at(-1) === 99`);
      expect(browser.complaints).toEqual([]);
    },
    timeoutMs,
  );

  test(
    "follows dark and light, fits a phone, and loads nothing from elsewhere",
    async () => {
      await using node = await start("grid", { listen: 0, shape: [10, 10] });
      node.write((a) => a.fill(1));
      await using page = await clientWs(node.addresses[0]!);
      await browser.open(page.url, "light");
      await browser.until("memblast.client.version > 0");
      const ground = "getComputedStyle(document.body).backgroundColor";
      const light = await browser.evaluate<string>(ground);
      await browser.prefer("dark");
      await browser.until(`${ground} !== ${JSON.stringify(light)}`);
      for (const width of [320, 390, 768, 1400]) {
        await browser.view.resize(width, 800);
        await browser.until(`innerWidth === ${width}`);
        await browser.until("document.documentElement.scrollWidth <= innerWidth");
        await browser.until(
          `Math.abs(document.getElementById("plot").width - document.getElementById("frame").clientWidth * devicePixelRatio) <= 1`,
        );
      }
      await browser.view.resize(1000, 800);
      const loaded = await browser.evaluate<string[]>(
        `performance.getEntriesByType("resource").map(({ name }) => new URL(name).origin)`,
      );
      expect(new Set(loaded)).toEqual(new Set([new URL(page.url).origin]));
    },
    timeoutMs,
  );

  test(
    "says so when the server goes, and goes on when it is back",
    async () => {
      const first = await start("grid", { listen: 0, shape: [4, 4] });
      const address = first.addresses[0]!;
      await using page = await clientWs(address);
      await browser.open(page.url);
      await browser.until(`document.getElementById("dot").dataset.state === "live"`);
      await first.close();
      await browser.until(`document.getElementById("dot").dataset.state === "away"`);
      await browser.until(`${text("where")}.includes("disconnected")`);
      await using second = await start("grid", { listen: address, shape: [4, 4] });
      second.write((a) => a.set(3, 3, 33));
      await browser.until(`${shown}.at(-1) === 33`);
      await browser.until(`document.getElementById("dot").dataset.state === "live"`);
    },
    timeoutMs,
  );

  test(
    "draws 512 x 512 f32 as fast as they come",
    async () => {
      await using node = await start("waves", { listen: 0, shape: [512, 512], dtype: "f32" });
      await using page = await clientWs(node.addresses[0]!);
      await browser.open(page.url);
      let frame = 0;
      const writer = setInterval(
        () => node.write((a) => (a.data as Float32Array).fill(Math.sin(frame++ / 9), 0, 200_000)),
        16,
      );
      await browser.until("memblast.client.version > 20");
      await Bun.sleep(2500);
      const figures = await browser.evaluate<string[]>(
        `["rate", "frames", "bytes", "lag"].map((id) => document.getElementById(id).textContent)`,
      );
      clearInterval(writer);
      console.log(
        `512 x 512 f32: updates ${figures[0]}, frames ${figures[1]}, ${figures[2]}, lag ${figures[3]}`,
      );
      expect(Number.parseFloat(figures[1]!)).toBeGreaterThan(0);
      await until(() => node.stats().links.every(({ lag }) => lag === 0), "the relay has the newest version");
    },
    timeoutMs,
  );
});

describeInBrowser("the page of ticker_page", () => {
  test(
    "has a card for each ticker, with the last price, its movement and the mean",
    async () => {
      using browser = new Browser({ width: 390, height: 800 });
      const symbols = ["AAA", "BBB"];
      await using node = await start("tickers", {
        listen: 0,
        shape: [2, 4],
        arrays: { symbols: { shape: [2, symbolBytes], dtype: "u8" } },
      });
      const tick = (index: number, tick: number, prices: number[]) =>
        node.write((a, tx) => {
          prices.forEach((price, row) => a.set(row, index, price));
          tx.meta = { index, tick, time: new Date(0).toISOString() };
        });
      node.write((a, tx) => {
        a.fill(NaN);
        tx.array("symbols").assign(encodeSymbols(symbols));
      });
      [
        [10, 20],
        [11, 19],
        [12, NaN],
        [13, 17],
        [15, 16],
      ].forEach((prices, i) => tick(i % 4, i + 1, prices));
      await using page = await run("examples/tickers/ticker_page.ts", node.addresses[0]!);
      await browser.open(page.url);
      const cards = `Array.from(document.querySelectorAll("article"), (card) => card.innerText.split(/\\s*\\n\\s*/))`;
      await browser.until(`${cards}.length === 2`);
      expect(await browser.evaluate<string[][]>(cards)).toEqual([
        ["AAA", "▲ 36.36 %", "15.00", "mean 12.75"],
        ["BBB", "▼ 15.79 %", "16.00", "mean 17.33"],
      ]);
      tick(1, 6, [22, 38]);
      await browser.until(`${cards}[0].includes("22.00") && ${cards}[1].includes("38.00")`);
      expect(await browser.evaluate<boolean>("document.documentElement.scrollWidth <= innerWidth")).toBe(
        true,
      );
      expect(browser.complaints).toEqual([]);
    },
    timeoutMs,
  );
});
