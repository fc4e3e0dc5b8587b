/**
 * memblast: N-d arrays in shared memory, replicated by binary deltas.
 *
 * ```ts
 * import { attach, start } from "memblast";
 * await using prices = await start("prices", { listen: 7011, shape: [3, 390], share: true });
 * prices.write((a, tx) => { a.set(1, 4, 187.2); tx.meta = { index: 4 }; });
 *
 * await using follower = await start("copy", { server: "127.0.0.1:7011" });  // another machine
 * await using local = await attach("prices");                                // another process, the same memory
 * ```
 */
import { Node, type OnUpdate } from "./node/node.ts";
import type { AttachOptions as AttachOptionsOf } from "./node/options/attaching.ts";
import type { StartOptions as StartOptionsOf } from "./node/options/options.ts";

export { type ErrorCode, errorCodes, MemblastError } from "./errors.ts";
export { type Dtype, dtypes, type TypedArray } from "./array/dtype.ts";
export { NdArray } from "./array/ndarray.ts";
export type { ArraySchema, Schema } from "./array/schema.ts";
export type { Region } from "./delta/region.ts";
export type { Copy } from "./node/storage/copy.ts";
export type { LinkEvent, Node, NodeEvents, OnUpdate } from "./node/node.ts";
export type { Conflation, Overflow } from "./node/runtime/events.ts";
export type { DoorStats } from "./node/doors/counters.ts";
export type { LinkStats, NodeStats } from "./node/stats.ts";
export type { Transaction, View } from "./node/storage/views.ts";
export type { Damage, Verification } from "./node/storage/damage.ts";
export type { DamagedPart } from "./memory/verification.ts";
export { clean, type CleanOptions, list, type SegmentInfo } from "./memory/listing.ts";
export type { Update } from "./node/runtime/update.ts";

export type StartOptions = StartOptionsOf<OnUpdate>;
export type AttachOptions = AttachOptionsOf<OnUpdate>;

/**
 * Starts a node: allocates or maps its arrays, opens its doors, begins to follow its servers. Resolves once it listens; `node.ready`
 * tells when the first state of every server is there. A node that names no arrays takes over its server's, and waits for it.
 * @throws INVALID_OPTION, INVALID_SHAPE, INVALID_DTYPE, INVALID_NAME, INVALID_ADDRESS, ADDRESS_IN_USE, EXISTS, NO_SPACE, SCHEMA_MISMATCH,
 * CLOSED where its own onUpdate closed it meanwhile
 */
export function start(name: string, options: StartOptions): Promise<Node> {
  return Node.start(name, options);
}

/**
 * Attaches the segment that another process started with `share: true`: the same memory, no network. Reading never waits for the
 * writer. With `mode: "rw"` this process writes too: alone once the former owner is gone, or in turn where the segment has many
 * writers. `shape`, `dtype`, `arrays` and `schema` say what it must hold; the first difference is named.
 * @throws NOT_FOUND, LOCKED, SCHEMA_MISMATCH, UNSAFE_FILE, FORMAT, TRUNCATED, INVALID_NAME, INVALID_OPTION
 */
export function attach(nameOrPath: string, options: AttachOptions = {}): Promise<Node> {
  return Node.attach(nameOrPath, options);
}
