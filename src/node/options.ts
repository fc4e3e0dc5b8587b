import { z } from "zod";
import { checkDtype, type Dtype } from "../array/dtype.ts";
import { isCompanion, withCompanions } from "../array/companion.ts";
import { type ArraySpec, arrayText } from "../array/schema.ts";
import { shapeText } from "../array/shape.ts";
import type { Region } from "../delta/region.ts";
import { fail, type MemblastError } from "../errors.ts";
import { metaBytesMax as wireMetaBytesMax, nameCharactersMax } from "../protocol/limits.ts";
import { type Address, formatAddress, isLoopback, parseAddress } from "../transport/address.ts";
import { fromAnywhere } from "../transport/socketfile.ts";
import { listenTls, type TlsOptions, tryCredentials } from "../transport/tls.ts";
import { isHost, isOrigin } from "../transport/upgrade.ts";
import { refuseOptions } from "./complaint.ts";
import { tlsOption } from "./credentials.ts";
import { refuseContradictions } from "./contradiction.ts";
import { type Pace, paceOf, paceOptions } from "./pace.ts";
import { type Backoff, backoffOf, defaultBackoff, waitMsMax } from "./reconnect.ts";
import { type Key, Keyring, Secret, secretOption, secretsOption } from "./secrets.ts";
import { parseSharing, type SharingConfig, sharingOptions } from "./sharing.ts";

const anAddress = {
  error:
    "an address is a port (0 to 65535) or a text like 127.0.0.1:7011, unix:/path, tls:host:port or ws://host:port",
};
const addressOption = z.union([z.string().min(1), z.int().min(0).max(65_535)], anAddress);
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
const mapOption = z.union([mapTuple, mapObject], {
  error:
    "a map is [serverStart, shape, clientStart, name], whole numbers from 0 in each list, or { array?, start, shape, to?: { array, start } }",
});
/** How to follow: for all servers, or for one. */
const followingOptions = {
  /** What to follow, and where it lands. Without: each array of this node follows the server's equal one. */
  maps: z.array(mapOption).optional(),
  /** What to prove to a server that asks for it. */
  secret: secretOption.optional(),
  ...paceOptions,
};
const serverOption = z.union(
  [addressOption, z.strictObject({ address: addressOption, ...followingOptions })],
  anAddress,
);

const originOption = z.string().refine(isOrigin, {
  error:
    'an origin is scheme://host or scheme://host:port, as "https://example.org", without a path; "null" is that of pages without one, ' +
    '"*" stands for all',
});
const hostOption = z.string().refine(isHost, {
  error:
    'a host is a name or an address without scheme, port and brackets, as "vm.example", "10.0.0.5" or "::1"; there is no "*", because ' +
    "any page may give its own name to this machine",
});

const startOptions = z.strictObject({
  /** Where to accept followers: one address or several. */
  listen: z.union([addressOption, z.array(addressOption)], anAddress).optional(),
  /** A node to follow; `servers` for several. Of several, the metadata of the first become those of this node. */
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
  /**
   * Many nodes write the same elements: the last writer of each wins, and all nodes of the mesh that reach each other end with the same.
   * Costs 16 bytes an element, and a private copy of arrays and stamps for each server. All nodes on the way must be of it, or relays
   * without arrays of their own. Writing what is there already is no write. Default false: what a server sends, nobody writes here.
   */
  mesh: z.boolean().default(false),
  /** Verify every delta by a Merkle root before it is committed, and repair what differs. Default false. */
  checkHash: z.boolean().default(false),
  ...sharingOptions,
  /** Room for the metadata of a version, bytes, 8 of them for its head. */
  metaBytesMax: z
    .int()
    .min(8)
    .max(wireMetaBytesMax + 8)
    .default(4096),
  /** A PING this often, milliseconds, 10 to 3,600,000; a peer that is silent for twice as long is given up. Default 5000. */
  heartbeatMs: z.int().min(10).max(3_600_000).default(5000),
  /**
   * Waits between attempts to reach a server, milliseconds, 1 to 86,400,000: random up to a bound that doubles from `minMs` to `maxMs`.
   * Default 2000 and 10,000, which spreads the followers of a server that was restarted, and lets each of them wait for a second on
   * average after a cut. `minMs: 50` is for servers with few followers.
   */
  reconnect: z
    .strictObject({
      minMs: z.number().min(1).max(waitMsMax).optional(),
      maxMs: z.number().min(1).max(waitMsMax).default(defaultBackoff.maxMs),
    })
    .refine(({ minMs = 1, maxMs }) => minMs <= maxMs, "minMs is above maxMs")
    .optional(),
  /** Bytes of deltas that may wait on one link for followers in the mode "every", before they get what is new as one. Default 16 MiB. */
  queueBytesMax: z.int().min(0).default(16_777_216),
  /**
   * Links that may have come in at one time, 1 or more, all listeners together, those included that are still shaking hands. More are
   * turned away, with a `crowded` event, and so is everybody while the process has links for all but 64 of the files that it may
   * open, or fewer than 16 left. Default 1024.
   */
  connectionsMax: z.int().min(1).default(1024),
  /** Ask every follower for the proof of one of these secrets. They are by key: { secret, arrays?, regions? }; the latter are what it opens. */
  secrets: secretsOption.optional(),
  /** Let in one follower of a name at a time, where a name stands for a peer. Without, names are for people. Default false. */
  uniqueNames: z.boolean().default(false),
  /** Listen beyond this machine although nothing asks who comes: no `secrets`, and no `tls.clientCertificates`. Default false. */
  insecure: z.boolean().default(false),
  /** For `tls:` and `wss:` addresses, of both kinds: { cert, key, ca, crl, clientCertificates, serverName ... }, see {@link TlsOptions}. */
  tls: tlsOption.optional(),
  /** Origins of the web pages that may connect to a ws: or wss: listener, "*" for all. Without: pages of the same host and of this machine. */
  origins: z.array(originOption).optional(),
  /** Names by which such a listener may be called, besides those of this machine and the host it listens on. Default none. */
  hosts: z.array(hostOption).optional(),
  /** Calls `start()` off while it waits for a server's arrays, which it does without a bound where it names none itself. */
  signal: z.instanceof(AbortSignal).optional(),
  onUpdate: z.function().optional(),
  onError: z.function().optional(),
});

/** What {@link start} takes, as its caller writes it. */
export type StartOptions<OnUpdate> = Omit<
  z.input<typeof startOptions>,
  "shape" | "dtype" | "arrays" | "onUpdate" | "onError" | "tls"
> & {
  shape?: readonly number[];
  dtype?: Dtype;
  arrays?: Record<string, { shape: readonly number[]; dtype?: Dtype }>;
  tls?: TlsOptions;
  /** After each version that came from elsewhere. */
  onUpdate?: OnUpdate;
  /** The same as `node.on("error", ...)`, from the first moment: a server may be away when this node starts. */
  onError?: (error: MemblastError) => void;
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
  readonly mesh: boolean;
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
  readonly signal: AbortSignal | undefined;
}

/** The options as one frozen value. INVALID_OPTION names the option and what it should be. */
export function parseStartOptions(given: unknown): NodeConfig {
  const parsed = startOptions.safeParse(given ?? {});
  if (!parsed.success) refuseOptions("start()", parsed.error);
  const options = parsed.data;
  refuseContradictions(options);
  const dtype = checkDtype(options.dtype === undefined ? "f64" : options.dtype);
  const listen = asList(options.listen).map(parseAddress);
  if (listen.some(isTls)) listenTls(options.tls);
  if (options.tls) tryCredentials(options.tls);
  if (!options.insecure && !options.secrets) checkExposure(listen, options.tls);
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
    mesh: options.mesh,
    checkHash,
    sharing,
    metaBytesMax,
    heartbeatMs,
    backoff: backoffOf(options.reconnect),
    queueBytesMax: options.queueBytesMax,
    connectionsMax,
    uniqueNames: options.uniqueNames,
    keyring: options.secrets ? Keyring.of(options.secrets) : null,
    tls,
    origins: options.origins,
    hosts: options.hosts ?? [],
    signal: options.signal,
  });
}

/** Each of them as it should be by itself. */
export type ParsedOptions = z.output<typeof startOptions>;
type MapOption = z.output<typeof mapOption>;
type FollowingOptions = Pick<ParsedOptions, keyof typeof followingOptions>;

function asList<T>(value: T | T[] | undefined): T[] {
  return value === undefined ? [] : Array.isArray(value) ? value : [value];
}

function isTls({ kind }: Address): boolean {
  return kind === "tls" || kind === "wss";
}

/** Nobody should publish memory to a network without knowing. A door that wants a certificate of everybody asks who comes. */
function checkExposure(listen: readonly Address[], tls: TlsOptions | undefined): void {
  const asks = (address: Address) => isTls(address) && tls?.clientCertificates === true;
  const exposed = listen.find((address) => !isLoopback(address) && !asks(address));
  if (exposed)
    fail(
      "INVALID_OPTION",
      `start(): ${formatAddress(exposed)} can be reached from other machines and nothing asks who comes: listen on 127.0.0.1, ` +
        "give secrets, listen on tls: or wss: with tls.clientCertificates, or pass insecure: true if that is what you want",
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
    address: address.kind === "unix" ? fromAnywhere(address) : address,
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
function arraySpecs(options: ParsedOptions, dtype: Dtype, servers: readonly ServerConfig[]): ArraySpec[] {
  const specs = new Map<string | null, ArraySpec>();
  if (options.shape !== undefined)
    specs.set(null, { name: null, dtype, shape: options.shape as readonly number[] });
  for (const [name, array] of Object.entries(options.arrays ?? {}))
    specs.set(name, {
      name,
      dtype: (array.dtype === undefined ? dtype : array.dtype) as Dtype,
      shape: array.shape as readonly number[],
    });
  const isImplied = new Set<string | null>();
  for (const { target } of servers.flatMap((server) => server.links ?? [])) {
    const known = specs.get(target.array);
    if (known && !isImplied.has(target.array)) continue;
    if (known && `${known.shape}` !== `${target.shape}`)
      fail(
        "INVALID_OPTION",
        `start(): maps make ${arrayText(target.array)} both ${shapeText(known.shape)} and ${shapeText(target.shape)}: give its shape in arrays`,
        { array: target.array },
      );
    if (known) continue;
    if (target.array === null)
      fail(
        "INVALID_OPTION",
        "start(): a map lands in the main array: give its shape, or give the map a name",
      );
    specs.set(target.array, { name: target.array, dtype, shape: target.shape });
    isImplied.add(target.array);
  }
  const reserved = [...specs.keys()].find(isCompanion);
  if (reserved)
    fail(
      "INVALID_NAME",
      `start(): ${arrayText(reserved)}: a name cannot end so, the library has arrays of that kind`,
    );
  return options.mesh && specs.size > 0 ? withCompanions([...specs.values()]) : [...specs.values()];
}

/** INVALID_NAME where a peer could not be told this name. */
export function checkName(name: unknown): void {
  if (typeof name === "string" && name.length > 0 && name.length <= nameCharactersMax && !/\p{C}/u.test(name))
    return;
  fail("INVALID_NAME", `A node needs a name of 1 to ${nameCharactersMax} printable characters`, { name });
}
