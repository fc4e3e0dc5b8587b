import type { Client } from "../../src/browser/index.ts";
import { Meter } from "./meter.ts";
import { bytes, milliseconds, rate, whole } from "./words.ts";

/** What the page's server says of itself, at `status`. */
export interface Status {
  /** The address of the node that it follows. */
  readonly server: string;
  readonly connected: boolean;
  /** The newest version of that node it has. */
  readonly version: number;
  /** How it stands, in a few words. */
  readonly state: string;
}

const statusEveryMs = 1000;

/** The numbers beside the picture. */
export class Figures {
  readonly #client: Client;
  readonly #frames: () => number;
  readonly #updates = new Meter();
  readonly #bytes = new Meter();
  readonly #drawn = new Meter();
  #status: Status | null = null;
  #askedAt = -Infinity;

  constructor(client: Client, frames: () => number) {
    this.#client = client;
    this.#frames = frames;
  }

  show(): void {
    const now = performance.now();
    if (now - this.#askedAt >= statusEveryMs) {
      this.#askedAt = now;
      void this.#ask();
    }
    const client = this.#client;
    const { deltas, receivedBytes, roundTripMs, conflatedVersions } = client.stats();
    text("version", whole(client.version));
    figure("rate", rate(this.#updates.take(now, deltas)));
    const [count, unit] = bytes(this.#bytes.take(now, receivedBytes));
    figure("bytes", [count, `${unit} / s`]);
    figure("total", bytes(receivedBytes));
    figure("lag", roundTripMs === null ? ["–", ""] : milliseconds(roundTripMs));
    figure("merged", [whole(conflatedVersions), ""]);
    figure("frames", rate(this.#drawn.take(now, this.#frames())));
    this.#showMeta(client.meta);
    this.#showState();
  }

  #showMeta(meta: unknown): void {
    const about = document.getElementById("about");
    if (about) about.hidden = meta === undefined;
    text("meta", JSON.stringify(meta, null, 1) ?? "");
  }

  #showState(): void {
    const { state, peer } = this.#client;
    const status = this.#status;
    const dot = document.getElementById("dot")!;
    dot.dataset["state"] = state === "live" && status && !status.connected ? "away" : state;
    text("peer", peer);
    document.title = `${peer} · memblast`;
    const place = status ? `follows ${status.server}` : "";
    if (state === "closed") text("where", "closed");
    else if (state === "connecting") text("where", "lost its node, connects again");
    else
      text(
        "where",
        status && !status.connected
          ? `${place}: ${status.state}`
          : `${place}${status ? `, version ${whole(status.version)} there` : ""}`,
      );
  }

  async #ask(): Promise<void> {
    try {
      this.#status = (await (await fetch("status")).json()) as Status;
    } catch {
      this.#status = null; // the page's server is gone, and with it the node: the link says so
    }
  }
}

/** Not every page has a place for everything. */
function text(id: string, value: string): void {
  const element = document.getElementById(id);
  if (element && element.textContent !== value) element.textContent = value;
}

/** A number and its unit in small letters. */
function figure(id: string, [value, unit]: readonly [string, string]): void {
  const element = document.getElementById(id);
  const wanted = value + unit;
  if (!element || element.textContent === wanted) return;
  const small = document.createElement("small");
  small.textContent = unit;
  element.replaceChildren(value, small);
}
