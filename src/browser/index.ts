/**
 * memblast in a browser: the arrays of a node with a `ws:` or `wss:` listener, seen as they change.
 *
 * ```ts
 * import { connect } from "memblast/browser";
 * const client = connect("ws://localhost:7012", { regions: [{ start: [0, 0], shape: [10, 390] }], checkHash: true });
 * client.onUpdate(() => draw(client.data(), client.version, client.meta));
 * await client.ready;
 * ```
 */
import { config as zodConfig } from "zod/mini";
import { hexOf } from "../protocol/cursor.ts";
import { platform } from "../node/runtime/platform.ts";
import type { World } from "../node/runtime/world.ts";
import { Client, type OnUpdate } from "./client.ts";
import { webSocketTransport } from "./link.ts";
import { type ConnectOptions as ClientOptions, parseConnectOptions } from "./options.ts";

export { type Dtype, dtypes, type TypedArray } from "../array/dtype.ts";
export { NdArray } from "../array/ndarray.ts";
export type { ArraySchema, Schema } from "../array/schema.ts";
export type { Region } from "../delta/region.ts";
export { type ErrorCode, MemblastError } from "../errors.ts";
export type { Update } from "../node/runtime/update.ts";
export type { Client, ClientEvents, ClientStats, OnUpdate } from "./client.ts";
export type { RegionOption, Regions } from "./regions.ts";

export interface ConnectOptions extends ClientOptions {
  /** After each update; see {@link Client.onUpdate}. */
  readonly onUpdate?: OnUpdate;
}

// Its compiled checks want eval, which a page with a Content-Security-Policy forbids and reports.
zodConfig({ jitless: true });

const browserWorld: World = Object.freeze({ ...platform, transport: webSocketTransport });

/**
 * Follows the node at `url` ("ws://host:port", "wss://host:port/path"). Keeps connecting, with random waits, until
 * it is closed; after a cut it waits for a second on average (`reconnect`) and goes on from the version it has. However slow the page is, it gets the newest state next, behind
 * 32 older ones at most.
 * @throws INVALID_ADDRESS, INVALID_OPTION
 */
export function connect(url: string, options: ConnectOptions = {}): Client {
  const config = parseConnectOptions(url, options, hexOf(browserWorld.randomBytes(3)));
  return new Client(config, browserWorld, options.onUpdate);
}
