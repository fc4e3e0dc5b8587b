import { fail } from "../errors.ts";
import { type Backoff, defaultBackoff } from "../node/reconnect.ts";
import { type Address, formatAddress, parseAddress } from "../transport/address.ts";
import type { Regions } from "./regions.ts";

/** What a client needs to know, checked. */
export interface ClientConfig {
  readonly address: Address;
  /** The address in its canonical spelling. */
  readonly url: string;
  readonly name: string;
  readonly regions: Regions;
  readonly checkHash: boolean;
  readonly maxRate: number | null;
  readonly heartbeatMs: number;
  readonly backoff: Backoff;
  readonly secret: { readonly keyId: string; readonly bytes: Uint8Array } | null;
}

export interface ConnectOptions {
  /** How the node calls this client; nodes let every name in once. Default "browser-" and six random characters. */
  readonly name?: string;
  /** What to follow, each region as an array of its own; as a function, chosen from what the node has. Default: all its arrays. */
  readonly regions?: NonNullable<Regions>;
  /** Verify every update by a Merkle root, and repair what differs. */
  readonly checkHash?: boolean;
  /** Updates a second at most. Default: as many as the link carries. */
  readonly maxRate?: number;
  /** What to prove to a node that asks for a secret, of which only a proof travels. Whoever can read the page's code can read it there. */
  readonly secret?: { readonly keyId: string; readonly secret: string | Uint8Array };
  /** Waits between attempts to reach the node, ms: random up to a bound that doubles from one to the other. Default 50 and 10,000. */
  readonly reconnect?: Partial<Backoff>;
}

/** INVALID_ADDRESS, INVALID_OPTION. */
export function parseConnectOptions(url: string, options: ConnectOptions, random: string): ClientConfig {
  const address = parseAddress(url);
  if (address.kind !== "ws" && address.kind !== "wss")
    fail("INVALID_ADDRESS", `A browser connects to ws://host:port or wss://host:port, not to ${url}`, {
      address: url,
    });
  const { name = `browser-${random}`, regions = null, checkHash = false, maxRate = null } = options;
  if (maxRate !== null && !(maxRate > 0 && maxRate <= 1e6))
    fail("INVALID_OPTION", `maxRate is a number above 0 and up to 1,000,000, not ${String(maxRate)}`);
  return Object.freeze({
    address,
    url: formatAddress(address),
    name,
    regions,
    checkHash,
    maxRate,
    heartbeatMs: 5000,
    backoff: { ...defaultBackoff, ...options.reconnect },
    secret: options.secret ? { keyId: options.secret.keyId, bytes: bytesOf(options.secret.secret) } : null,
  });
}

function bytesOf(secret: string | Uint8Array): Uint8Array {
  return typeof secret === "string" ? new TextEncoder().encode(secret) : secret.slice();
}
