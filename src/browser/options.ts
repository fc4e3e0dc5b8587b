import { fail } from "../errors.ts";
import { nearest } from "../node/options/nearest.ts";
import type { Pace } from "../node/options/pace.ts";
import { type Backoff, backoffOf, type BackoffOptions, waitMsMax } from "../node/options/reconnect.ts";
import { nameCharactersMax } from "../protocol/limits.ts";
import { type Address, formatAddress, parseAddress } from "../transport/address.ts";
import { fits, isIn, isObject, isOneOf, isText } from "./checks.ts";
import { isRegionList, type Regions } from "./regions.ts";

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
  /**
   * Waits between attempts to reach the node, ms, 1 to 86,400,000: random up to a bound that doubles from `minMs` to `maxMs`. Default 2000
   * and 10,000: a second on average after a cut. `minMs: 50` is for nodes with few followers.
   */
  readonly reconnect?: BackoffOptions;
}

const isName = (value: unknown) =>
  isText(value) && /^\P{C}+$/u.test(value) && value.length <= nameCharactersMax;
const isWait = (value: unknown) => value === undefined || isIn(value, 1, waitMsMax);

/** What each option may be, undefined apart, and how to say it. */
export const rules: {
  readonly [Name in keyof ConnectOptions | "onUpdate"]-?: readonly [(value: unknown) => boolean, string];
} = {
  name: [isName, `1 to ${nameCharactersMax} printable characters`],
  regions: [
    (value) => value === null || typeof value === "function" || isRegionList(value),
    "a list of { array?, start?, shape?, as? }, whole numbers from 0 in start and shape; or a function that makes one",
  ],
  checkHash: [isOneOf(true, false), "true or false"],
  mode: [isOneOf("latest", "every"), '"latest" or "every"'],
  overflow: [isOneOf("latest", "disconnect"), '"latest" or "disconnect"'],
  maxRate: [isRate, "a number above 0 and up to 1,000,000, or null"],
  heartbeatMs: [
    (value) => Number.isInteger(value) && isIn(value, 10, 3_600_000),
    "a whole number from 10 to 3,600,000",
  ],
  secret: [
    (value) => fits(value, { keyId: isName, secret: isSecret }),
    `{ keyId, secret }: 1 to ${nameCharactersMax} printable characters, and a string or Uint8Array of at least ${secretBytesMin} bytes`,
  ],
  reconnect: [
    (value) => fits(value, { minMs: isWait, maxMs: isWait }) && isBackoff(value as BackoffOptions),
    "{ minMs?, maxMs? }, numbers from 1 to 86,400,000, and maxMs not below minMs",
  ],
  onUpdate: [(value) => typeof value === "function", "a function"],
};

function isRate(value: unknown): boolean {
  return value === null || (isIn(value, 0, rateMax) && value !== 0);
}

function isSecret(value: unknown): boolean {
  return (isText(value) || value instanceof Uint8Array) && bytesOf(value).byteLength >= secretBytesMin;
}

function isBackoff(options: BackoffOptions): boolean {
  const { minMs, maxMs } = backoffOf(options);
  return minMs <= maxMs;
}

function bytesOf(secret: string | Uint8Array): Uint8Array {
  return isText(secret) ? new TextEncoder().encode(secret) : new Uint8Array(secret);
}

/** INVALID_ADDRESS, INVALID_OPTION. */
export function parseConnectOptions(url: string, options: ConnectOptions, random: string): ClientConfig {
  const address = parseAddress(url);
  if (address.kind !== "ws" && address.kind !== "wss")
    fail("INVALID_ADDRESS", `A browser connects to ws://host:port or wss://host:port, not to ${url}`, {
      address: url,
    });
  if (!isObject(options)) fail("INVALID_OPTION", "connect(): the options are an object", { path: [] });
  for (const [option, value] of Object.entries(options)) checkOption(option, value);
  const {
    name = `browser-${random}`,
    regions = null,
    checkHash = false,
    heartbeatMs = 5000,
    secret,
  } = options;
  const { mode = "latest", overflow = "latest", maxRate = null } = options;
  if (overflow === "disconnect" && mode !== "every")
    fail(
      "INVALID_OPTION",
      'connect(): overflow is for the mode "every": give mode: "every", or leave it out',
      {
        path: ["overflow"],
      },
    );
  return Object.freeze({
    address,
    url: formatAddress(address),
    name,
    regions,
    checkHash,
    pace: { mode, overflow, maxRate },
    heartbeatMs,
    backoff: backoffOf(options.reconnect),
    secret: secret ? { keyId: secret.keyId, bytes: bytesOf(secret.secret) } : null,
  });
}

/** INVALID_OPTION if it is none. */
export function checkRate(perSecond: number | null): void {
  if (!isRate(perSecond)) refuseOption("maxRate");
}

/** INVALID_OPTION if it cannot be that, or there is none of that name. */
export function checkOption(option: string, value: unknown): void {
  if (!Object.hasOwn(rules, option))
    fail("INVALID_OPTION", `connect(): there is no option ${option}${nearest(option, Object.keys(rules))}`, {
      path: [option],
    });
  if (value !== undefined && !rules[option as keyof typeof rules][0](value))
    refuseOption(option as keyof typeof rules);
}

function refuseOption(option: keyof typeof rules): never {
  fail("INVALID_OPTION", `connect(): option ${option} is ${rules[option][1]}`, { path: [option] });
}
