import { z } from "zod";
import type { Dtype } from "../array/dtype.ts";
import { type ArraySpec } from "../array/schema.ts";
import type { Region } from "../delta/region.ts";
import { fail } from "../errors.ts";
import { metaBytesMax as wireMetaBytesMax, nameCharactersMax } from "../protocol/limits.ts";
import { type Address, formatAddress, isLoopback, parseAddress } from "../transport/address.ts";
import type { TlsOptions } from "../transport/tls.ts";
import { type Pace, paceOf, paceOptions } from "./pace.ts";
import { type Backoff, defaultBackoff } from "./reconnect.ts";
import { type Key, Keyring, Secret, secretOption, secretsOption } from "./secrets.ts";
import { parseSharing, type SharingConfig, sharingOptions } from "./sharing.ts";

const addressOption = z.union([z.string().min(1), z.int().min(0).max(65_535)]);
const indices = z.array(z.int().min(0));
/** [serverStart, shape, clientStart, name]: a region of the source's main array, and where it lands. */
const mapTuple = z.tuple([indices.nullable(), indices, indices.nullable(), z.string().nullable()]);
const mapObject = z.strictObject({
  /** Array of the source; null or absent is its main one. */
  array: z.string().nullable().optional(),
  start: indices,
  shape: indices,
  /** Array of this node, and where in it; without, a named source array lands in the one of the same name. */
  to: z.strictObject({ array: z.string().nullable(), start: indices }).optional(),
});
const mapOption = z.union([mapTuple, mapObject]);
/** How to follow: for all servers, or for one. */
const followingOptions = {
  /** What to follow, and where it lands. Without: each array of this node follows the server's equal one. */
  maps: z.array(mapOption).optional(),
  /** What to prove to a server that asks for it. */
  secret: secretOption.optional(),
  ...paceOptions,
};
const serverOption = z.union([
  addressOption,
  z.strictObject({ address: addressOption, ...followingOptions }),
]);
const tlsOption = z.custom<TlsOptions>((value) => typeof value === "object" && value !== null).optional();

const startOptions = z.strictObject({
  /** Where to accept followers: one address or several. */
  listen: z.union([addressOption, z.array(addressOption)]).optional(),
  /** A node to follow; `servers` for several. */
  server: serverOption.optional(),
  servers: z.array(serverOption).optional(),
  /** The main array. A follower that names no array at all takes over its server's. */
  shape: z.unknown().optional(),
  dtype: z.unknown().optional(),
  /** Named arrays: same memory, same commits. */
  arrays: z
    .record(z.string(), z.strictObject({ shape: z.unknown(), dtype: z.unknown().optional() }))
    .optional(),
  ...followingOptions,
  /** Verify every delta by a Merkle root and repair what differs. */
  checkHash: z.boolean().default(false),
  ...sharingOptions,
  /** Room for the metadata of a version, bytes, 8 of them for its head. */
  metaBytesMax: z
    .int()
    .min(8)
    .max(wireMetaBytesMax + 8)
    .default(4096),
  /** A PING this often; a peer that is silent for twice as long is given up. Milliseconds. */
  heartbeatMs: z.int().min(10).max(3_600_000).default(5000),
  /** Waits between attempts to reach a server. Milliseconds. */
  reconnect: z
    .strictObject({
      minMs: z.number().min(1).default(defaultBackoff.minMs),
      maxMs: z.number().min(1).default(defaultBackoff.maxMs),
    })
    .optional(),
  /** Bytes of deltas that may wait for one follower in the mode "every" before it gets what is new as one. */
  queueBytesMax: z.int().min(0).default(16_777_216),
  /** Followers served at one time. */
  connectionsMax: z.int().min(1).default(1024),
  /** Ask every follower for the proof of one of these secrets. They are by key: { secret, arrays?, regions? }; the latter are what it opens. */
  secrets: secretsOption.optional(),
  /** Let in one follower of a name at a time, where a name stands for a peer. Without, names are for people. Default false. */
  uniqueNames: z.boolean().default(false),
  /** Listen beyond this machine although nothing asks who comes. */
  insecure: z.boolean().default(false),
  tls: tlsOption,
  /** Origins of the web pages that may connect to a ws: or wss: listener. Without: pages of the same host and of this machine. */
  origins: z.array(z.string().min(1)).optional(),
  /** Names by which such a listener may be called, besides those of this machine and the host it listens on. */
  hosts: z.array(z.string().min(1)).optional(),
  onUpdate: z.function().optional(),
});

/** What {@link start} takes, as its caller writes it. */
export type StartOptions<OnUpdate> = Omit<
  z.input<typeof startOptions>,
  "shape" | "dtype" | "arrays" | "onUpdate" | "tls"
> & {
  shape?: readonly number[];
  dtype?: Dtype;
  arrays?: Record<string, { shape: readonly number[]; dtype?: Dtype }>;
  tls?: TlsOptions;
  /** After each version that came from elsewhere. */
  onUpdate?: OnUpdate;
};

/** A region of a source and the equally shaped one of this node on which it lands. */
export interface RegionLink {
  readonly source: Region;
  readonly target: Region;
}

export interface ServerConfig {
  readonly address: Address;
  /** The canonical spelling; the key in `node.version`. */
  readonly key: string;
  /** Null: whatever arrays both sides have. */
  readonly links: readonly RegionLink[] | null;
  /** What to prove if it asks; null: nothing can be proved. */
  readonly secret: Key | null;
  readonly pace: Pace;
}

/** Everything a node needs to know, checked. */
export interface NodeConfig {
  readonly listen: readonly Address[];
  readonly servers: readonly ServerConfig[];
  readonly arrays: readonly ArraySpec[];
  readonly checkHash: boolean;
  readonly sharing: SharingConfig;
  readonly metaBytesMax: number;
  readonly heartbeatMs: number;
  readonly backoff: Backoff;
  readonly queueBytesMax: number;
  readonly connectionsMax: number;
  readonly uniqueNames: boolean;
  /** Null: nothing asks who comes. */
  readonly keyring: Keyring | null;
  readonly tls: TlsOptions | undefined;
  readonly origins: readonly string[] | undefined;
  readonly hosts: readonly string[];
}

/** The options as one frozen value. INVALID_OPTION names the option and what it should be. */
export function parseStartOptions(given: unknown): NodeConfig {
  const parsed = startOptions.safeParse(given ?? {});
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    const where = issue.path.length ? `option ${issue.path.join(".")}` : "the options";
    fail("INVALID_OPTION", `start(): ${where}: ${issue.message}`, { path: issue.path });
  }
  const options = parsed.data;
  const dtype = (options.dtype ?? "f64") as Dtype;
  const listen = asList(options.listen).map(parseAddress);
  checkExposure(listen, options.insecure || options.secrets !== undefined);
  const servers = [...asList(options.server), ...(options.servers ?? [])].map((server) =>
    parseServer(server, options),
  );
  const sharing = parseSharing(options);
  const arrays = arraySpecs(options, dtype, servers);
  if (arrays.length === 0 && servers.length === 0)
    fail("INVALID_OPTION", "start(): say what to hold: shape, arrays, or a server to take them from");
  const { checkHash, metaBytesMax, heartbeatMs, connectionsMax, tls } = options;
  return Object.freeze({
    listen,
    servers,
    arrays,
    checkHash,
    sharing,
    metaBytesMax,
    heartbeatMs,
    backoff: { ...defaultBackoff, ...options.reconnect },
    queueBytesMax: options.queueBytesMax,
    connectionsMax,
    uniqueNames: options.uniqueNames,
    keyring: options.secrets ? Keyring.of(options.secrets) : null,
    tls,
    origins: options.origins,
    hosts: options.hosts ?? [],
  });
}

type Parsed = z.output<typeof startOptions>;
type MapOption = z.output<typeof mapOption>;
type FollowingOptions = Pick<Parsed, keyof typeof followingOptions>;

function asList<T>(value: T | T[] | undefined): T[] {
  return value === undefined ? [] : Array.isArray(value) ? value : [value];
}

/** Nobody should publish memory to a network without knowing. */
function checkExposure(listen: readonly Address[], isMeant: boolean): void {
  const exposed = listen.find((address) => !isLoopback(address));
  if (exposed && !isMeant)
    fail(
      "INVALID_OPTION",
      `start(): ${formatAddress(exposed)} can be reached from other machines and nothing asks who comes: ` +
        "listen on 127.0.0.1, give secrets, or pass insecure: true if that is what you want",
      { address: formatAddress(exposed) },
    );
}

function parseServer(option: z.output<typeof serverOption>, forAll: FollowingOptions): ServerConfig {
  const own = typeof option === "object" ? option : { address: option };
  const one = own as FollowingOptions;
  const { maps = forAll.maps, secret = forAll.secret } = one;
  const address = parseAddress(own.address);
  if ("port" in address && address.port === 0)
    fail("INVALID_ADDRESS", "start(): a server has a port of its own; 0 is for listening only", {
      address: own.address,
    });
  return {
    address,
    key: formatAddress(address),
    links: maps?.map(parseMap) ?? null,
    secret: secret ? { keyId: secret.keyId, secret: new Secret(secret.secret) } : null,
    pace: paceOf(one, forAll),
  };
}

function zeros(shape: readonly number[]): number[] {
  return shape.map(() => 0);
}

function parseMap(map: MapOption): RegionLink {
  if (Array.isArray(map)) {
    const [serverStart, shape, clientStart, name] = map;
    const source = { array: null, start: serverStart ?? zeros(shape), shape };
    return { source, target: { array: name, start: clientStart ?? zeros(shape), shape } };
  }
  const { array = null, start, shape, to } = map;
  const target = to ?? { array, start: zeros(shape) };
  return { source: { array, start, shape }, target: { ...target, shape } };
}

/** The main array, the named ones, and those that only a map names: they are as large as what lands in them. */
function arraySpecs(options: Parsed, dtype: Dtype, servers: readonly ServerConfig[]): ArraySpec[] {
  const specs = new Map<string | null, ArraySpec>();
  if (options.shape !== undefined)
    specs.set(null, { name: null, dtype, shape: options.shape as readonly number[] });
  for (const [name, array] of Object.entries(options.arrays ?? {}))
    specs.set(name, {
      name,
      dtype: (array.dtype ?? dtype) as Dtype,
      shape: array.shape as readonly number[],
    });
  for (const { target } of servers.flatMap((server) => server.links ?? [])) {
    if (specs.has(target.array)) continue;
    if (target.array === null)
      fail(
        "INVALID_OPTION",
        "start(): a map lands in the main array: give its shape, or give the map a name",
      );
    specs.set(target.array, { name: target.array, dtype, shape: target.shape });
  }
  return [...specs.values()];
}

/** INVALID_NAME where a peer could not be told this name. */
export function checkName(name: unknown): void {
  if (typeof name === "string" && name.length > 0 && name.length <= nameCharactersMax && !/\p{C}/u.test(name))
    return;
  fail("INVALID_NAME", `A node needs a name of 1 to ${nameCharactersMax} printable characters`, { name });
}
