import { describe } from "bun:test";
import { join } from "node:path";

const path = Bun.which("chromium") ?? Bun.which("chromium-browser") ?? Bun.which("google-chrome");

if (!path)
  console.warn(
    "NO CHROMIUM: the tests in a real browser are skipped. Install it (Debian: apt-get install chromium).",
  );

/** Tests that need a real browser; skipped, loudly, where there is none. */
export const describeInBrowser = path ? describe : describe.skip;

const argv = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--no-first-run",
  // A page that nobody looks at would be slowed down.
  "--disable-background-timer-throttling",
  "--disable-renderer-backgrounding",
];

/** A page in Chromium; what it complains about is collected in `complaints`. */
export class Browser implements Disposable {
  readonly view: Bun.WebView;
  readonly complaints: string[] = [];

  constructor({ width = 1100, height = 800 } = {}) {
    this.view = new Bun.WebView({
      width,
      height,
      backend: { type: "chrome", path: path!, argv },
      console: (type, ...words) => {
        if (type === "error" || type === "warn")
          this.complaints.push(words.map((word) => JSON.stringify(word)).join(" "));
      },
    });
  }

  /** Opens a page; `scheme` is what it is told that its user prefers. */
  async open(url: string, scheme: "light" | "dark" = "light"): Promise<void> {
    await this.view.navigate("about:blank");
    await this.prefer(scheme);
    await this.view.navigate(url);
  }

  async prefer(scheme: "light" | "dark"): Promise<void> {
    const features = [{ name: "prefers-color-scheme", value: scheme }];
    await this.view.cdp("Emulation.setEmulatedMedia", { features });
  }

  evaluate<T>(expression: string): Promise<T> {
    return this.view.evaluate<T>(expression);
  }

  /** Waits until the expression is true in the page. */
  async until(expression: string, ms = 15_000): Promise<void> {
    const end = performance.now() + ms;
    while (!(await this.view.evaluate<boolean>(`Boolean(${expression})`))) {
      if (performance.now() > end) throw new Error(`waited ${ms} ms in vain: ${expression}`);
      await Bun.sleep(10);
    }
  }

  /** Presses the left button at the first place, and lets it go at the last. Viewport pixels. */
  async drag(...places: (readonly [x: number, y: number])[]): Promise<void> {
    const mouse = (type: string, [x, y]: readonly [number, number], buttons: number) =>
      this.view.cdp("Input.dispatchMouseEvent", { type, x, y, button: "left", buttons, clickCount: 1 });
    await mouse("mousePressed", places[0]!, 1);
    for (const place of places.slice(1)) await mouse("mouseMoved", place, 1);
    await mouse("mouseReleased", places.at(-1)!, 0);
  }

  [Symbol.dispose](): void {
    this.view.close();
  }
}

/** The module of src/browser as one file, as a project would build it. */
export async function bundle(): Promise<string> {
  const { outputs } = await Bun.build({
    entrypoints: [join(import.meta.dir, "../../src/browser/index.ts")],
    target: "browser",
    format: "esm",
    minify: true,
  });
  if (outputs.length !== 1) throw new Error(`${outputs.length} files were built`);
  return outputs[0]!.text();
}

/** Serves an empty page that has the module as the global `memblast`. */
export async function serveModule(): Promise<Bun.Server<unknown>> {
  const code = await bundle();
  const page = `<!doctype html><link rel="icon" href="data:,"><script type="module">
    import * as memblast from "./memblast.js";
    globalThis.memblast = memblast;
  </script>`;
  return Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: ({ url }) =>
      url.endsWith("/memblast.js")
        ? new Response(code, { headers: { "content-type": "text/javascript" } })
        : new Response(page, { headers: { "content-type": "text/html" } }),
  }) as Bun.Server<unknown>;
}
