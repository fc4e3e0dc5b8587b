/** Serves a page and what it is made of, and nothing else: to this machine, or to whoever calls the host by its address. */
import { isIP } from "node:net";
import { resolve } from "node:path";

export interface PageOptions {
  /** The page: an absolute path, or one from this folder. */
  readonly entry: string;
  /** Where to listen; port 0 asks for a free one. */
  readonly host: string;
  readonly port: number;
  /** Where the page's node listens: "7012/" is port and path; the host is the page's own. */
  readonly node: string;
  /** Answers `status`. */
  status(): unknown;
}

export interface PageServer extends Disposable {
  readonly url: string;
}

/** Rejects with a sentence where the port is taken or the page cannot be built. */
export async function servePage(options: PageOptions): Promise<PageServer> {
  const files = await built(options);
  const { host, port, node } = options;
  const server = Bun.serve({
    hostname: host,
    port,
    fetch(request) {
      const called = hostOf(request);
      // A web page may have any name point here: only our own are answered.
      if (called === null || !isOurs(called, host)) return plain("This host does not go by that name.", 421);
      if (request.method !== "GET" && request.method !== "HEAD") return plain("Only GET.", 405);
      const { pathname } = new URL(request.url);
      if (pathname === "/status") return Response.json(options.status(), { headers: secured(called, node) });
      const file = files.get(pathname);
      if (!file) return plain("There is no such page.", 404);
      return new Response(file.body, { headers: { ...secured(called, node), "Content-Type": file.type } });
    },
  });
  const shown = host === "0.0.0.0" || host === "::" ? "localhost" : host;
  return {
    url: `http://${isIP(shown) === 6 ? `[${shown}]` : shown}:${server.port}/`,
    [Symbol.dispose]: () => void server.stop(true),
  };
}

interface File {
  readonly body: Uint8Array<ArrayBuffer> | string;
  readonly type: string;
}

async function built({ entry, node }: PageOptions): Promise<Map<string, File>> {
  const { outputs } = await Bun.build({
    entrypoints: [resolve(import.meta.dir, entry)],
    target: "browser",
    minify: true,
  });
  const files = new Map<string, File>();
  for (const output of outputs) {
    const path = output.path.replace(/^\./, "");
    if (!path.endsWith(".html")) {
      files.set(path, { body: new Uint8Array(await output.arrayBuffer()), type: output.type });
      continue;
    }
    const place = `<meta name="memblast-node" content="${node}">`;
    const html = (await output.text()).replace("<head>", `<head>${place}`);
    files.set("/", { body: html, type: "text/html; charset=utf-8" });
  }
  return files;
}

/** Nothing is loaded from elsewhere, and the page is in nobody's frame. */
function secured(host: string, node: string): Record<string, string> {
  // A policy cannot name an IPv6 address.
  const socket = host.includes("[") ? "ws:" : `ws://${host}:${node.split("/")[0]}`;
  return {
    "Content-Security-Policy":
      `default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self' ${socket}; ` +
      "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
  };
}

function hostOf(request: Request): string | null {
  const url = `http://${request.headers.get("host") ?? ""}`;
  return URL.canParse(url) ? new URL(url).hostname : null;
}

function isOurs(called: string, host: string): boolean {
  const name = called.replace(/^\[(.*)\]$/, "$1");
  if (["localhost", host, "::1"].includes(name) || name.startsWith("127.")) return true;
  return (host === "0.0.0.0" || host === "::") && isIP(name) !== 0;
}

function plain(text: string, status: number): Response {
  return new Response(`${text}\n`, { status, headers: { "X-Content-Type-Options": "nosniff" } });
}
