import { fail } from "../errors.ts";
import type { Pace } from "../node/pace.ts";
import { type Backoff, backoffOf, type BackoffOptions } from "../node/reconnect.ts";
import { nameCharactersMax } from "../protocol/limits.ts";
import { type Address, formatAddress, parseAddress } from "../transport/address.ts";
import type { Regions } from "./regions.ts";

/** Updates a second, heartbeats and waits are held to the same bounds as a node's. */
const rateMax = 1e6;
const secretBytesMin = 16;

/** What a client needs to know, checked. */
export interface ClientConfig {
  readonly address: Address;
  /** The address in its canonical spelling. */
  readonly url: string;
  readonly name: string;
  readonly regions: Regions;
  readonly checkHash: boolean;
  readonly pace: Pace;
  readonly heartbeatMs: number;
  readonly backoff: Backoff;
  readonly secret: { readonly keyId: string; readonly bytes: Uint8Array } | null;
}

/** The options of a node that follows one server, as far as they make sense in a browser; same names, defaults and bounds. */
export interface ConnectOptions {
  /** How the node calls this client, 1 to 128 printable characters; it need not be unique. Default "browser-" and six hex characters. */
  readonly name?: string;
  /** What to follow, each region as an array of its own; as a function, chosen from what the node has. Default: all its arrays. */
  readonly regions?: NonNullable<Regions>;
  /** Verify every update by a Merkle root before it is shown, and repair what differs. Default false. */
  readonly checkHash?: boolean;
  /**
   * "latest": what is committed while an update is on its way goes with the next one. "every": the first state, and from then on each
   * commit by itself, in order; the node has to be its memory's only writer. Default "latest".
   */
  readonly mode?: "latest" | "every";
  /**
   * What to do when, in the mode "every", this page has been too slow for the node to keep all that it missed: take "latest" (one update
   * that brings it up to date, a `conflated` event, and then each commit again), or "disconnect" for good. Default "latest".
   */
  readonly overflow?: "latest" | "disconnect";
  /** Updates a second at most, above 0 and up to 1,000,000; null: as many as the link carries, which is the default. */
  readonly maxRate?: number | null;
  /** A PING this often, ms, 10 to 3,600,000; a node that is silent for twice as long is given up. The node's own is told in WELCOME and holds. Default 5000. */
  readonly heartbeatMs?: number;
  /**
   * What to prove to a node that asks for a secret of at least 16 bytes, of which only a proof travels. Whoever can read the page's code
   * can read it there.
   */
  readonly secret?: { readonly keyId: string; readonly secret: string | Uint8Array };
  /** Waits between attempts to reach the node, ms, 1 or more: random up to a bound that doubles from `minMs` to `maxMs`. Default 2000 and 10,000. */
  readonly reconnect?: BackoffOptions;
}

/** INVALID_ADDRESS, INVALID_OPTION. */
export function parseConnectOptions(url: string, options: ConnectOptions, random: string): ClientConfig {
  const address = parseAddress(url);
  if (address.kind !== "ws" && address.kind !== "wss")
    fail("INVALID_ADDRESS", `A browser connects to ws://host:port or wss://host:port, not to ${url}`, {
      address: url,
    });
  const { name = `browser-${random}`, regions = null, checkHash = false, heartbeatMs = 5000 } = options;
  const { mode = "latest", overflow = "latest", maxRate = null } = options;
  const backoff = backoffOf(options.reconnect);
  check(isName(name), "name", `1 to ${nameCharactersMax} printable characters`);
  check(mode === "latest" || mode === "every", "mode", '"latest" or "every"');
  check(overflow === "latest" || overflow === "disconnect", "overflow", '"latest" or "disconnect"');
  checkRate(maxRate);
  const isBeat = Number.isInteger(heartbeatMs) && heartbeatMs >= 10 && heartbeatMs <= 3_600_000;
  check(isBeat, "heartbeatMs", "a whole number from 10 to 3,600,000");
  const isBackoff = backoff.minMs >= 1 && backoff.maxMs >= backoff.minMs;
  check(isBackoff, "reconnect", "minMs of 1 or more, and maxMs not below it");
  return Object.freeze({
    address,
    url: formatAddress(address),
    name,
    regions,
    checkHash,
    pace: { mode, overflow, maxRate },
    heartbeatMs,
    backoff,
    secret: options.secret ? keyOf(options.secret) : null,
  });
}

/** INVALID_OPTION if it is none. */
export function checkRate(perSecond: number | null): void {
  const isRate = perSecond === null || (perSecond > 0 && perSecond <= rateMax);
  check(isRate, "maxRate", "a number above 0 and up to 1,000,000, or null");
}

function check(isRight: boolean, option: string, what: string): void {
  if (!isRight) fail("INVALID_OPTION", `connect(): option ${option} is ${what}`, { path: [option] });
}

function isName(name: unknown): boolean {
  return typeof name === "string" && /^\P{C}+$/u.test(name) && name.length <= nameCharactersMax;
}

function keyOf({ keyId, secret }: NonNullable<ConnectOptions["secret"]>): ClientConfig["secret"] {
  const isText = typeof secret === "string";
  check(isName(keyId), "secret.keyId", `1 to ${nameCharactersMax} printable characters`);
  check(isText || secret instanceof Uint8Array, "secret.secret", "a string or a Uint8Array");
  const bytes = isText ? new TextEncoder().encode(secret) : new Uint8Array(secret);
  check(bytes.byteLength >= secretBytesMin, "secret.secret", `at least ${secretBytesMin} bytes`);
  return { keyId, bytes };
}
