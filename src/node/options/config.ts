import { isCompanion, withCompanions } from "../../array/companion.ts";
import { checkDtype, type Dtype } from "../../array/dtype.ts";
import { type ArraySpec, arrayText } from "../../array/schema.ts";
import { shapeText } from "../../array/shape.ts";
import type { Region } from "../../delta/region.ts";
import { fail } from "../../errors.ts";
import { type Address, formatAddress, isLoopback, isTls, parseAddress } from "../../transport/address.ts";
import { fromAnywhere } from "../../transport/socketfile.ts";
import { listenTls, type TlsOptions, tryCredentials } from "../../transport/tls.ts";
import { refuseContradictions } from "./contradiction.ts";
import {
  checkOptions,
  type FollowingOptions,
  type MapOption,
  type ParsedOptions,
  type ServerOption,
} from "./options.ts";
import { type Pace, paceOf } from "./pace.ts";
import { type Backoff, backoffOf } from "./reconnect.ts";
import { type Key, Keyring, Secret } from "./secrets.ts";
import { parseSharing, type SharingConfig } from "./sharing.ts";

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
  const options = checkOptions(given);
  const dtype = checkDtype(options.dtype === undefined ? "f64" : options.dtype);
  const listen = asList(options.listen).map(parseAddress);
  const servers = [...asList(options.server), ...(options.servers ?? [])].map((server) =>
    parseServer(server, options),
  );
  refuseContradictions(options, given ?? {}, { listen, servers });
  if (listen.some(isTls)) listenTls(options.tls);
  if (options.tls) tryCredentials(options.tls);
  if (!options.insecure && !options.secrets) checkExposure(listen, options.tls);
  const sharing = parseSharing(options);
  const arrays = arraySpecs(options, dtype, servers);
  if (arrays.length === 0 && servers.length === 0)
    fail("INVALID_OPTION", "start(): say what to hold: shape, arrays, or a server to take them from", {
      path: ["shape"],
    });
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

function asList<T>(value: T | T[] | undefined): T[] {
  return value === undefined ? [] : Array.isArray(value) ? value : [value];
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
      { path: ["listen"], address: formatAddress(exposed) },
    );
}

function parseServer(option: ServerOption, forAll: FollowingOptions): ServerConfig {
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
        { path: ["maps"], array: target.array },
      );
    if (known) continue;
    if (target.array === null)
      fail(
        "INVALID_OPTION",
        "start(): a map lands in the main array: give its shape, or give the map a name",
        { path: ["shape"] },
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
