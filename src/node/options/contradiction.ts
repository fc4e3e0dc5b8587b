import { fail } from "../../errors.ts";
import { type Address, formatAddress, isTls } from "../../transport/address.ts";
import type { FollowingOptions, ParsedOptions, ServerOption } from "./options.ts";
import type { Pace } from "./pace.ts";

/** What the addresses among the options say. */
interface Network {
  readonly listen: readonly Address[];
  readonly servers: readonly { readonly key: string; readonly address: Address; readonly pace: Pace }[];
}

/**
 * INVALID_OPTION for options of start() that are right by themselves and make no sense together. `given` are those that were written down:
 * a default harms nobody.
 */
export function refuseContradictions(options: ParsedOptions, given: object, network: Network): void {
  if (!options.mesh) refuseEmptyMaps(options);
  if (network.servers.length === 0) refuseFollowing(options);
  else refuseIdleOverflow(options, network.servers);
  if (network.listen.length === 0) refuseListening(options, given);
  refuseUnusedDoors(options, network);
  refuseItself(options, network);
}

/** Under these names `node.version` has their versions. @throws INVALID_NAME */
export function refuseNamesake(name: string, servers: readonly { readonly key: string }[]): void {
  if (servers.some(({ key }) => key === name))
    fail(
      "INVALID_NAME",
      `A node cannot be called ${name}, like the server that it follows: take another name`,
      { name },
    );
}

/** Nothing would come of these. */
function refuseFollowing({ maps, mode, overflow, maxRate, secret, checkHash }: ParsedOptions): void {
  if (maps) refuse(["maps"], "say what to follow, but there is no server: give server or servers");
  const given = Object.entries({
    mode: mode === "every",
    overflow: overflow === "disconnect",
    maxRate: typeof maxRate === "number",
    secret: secret !== undefined,
    checkHash,
  });
  for (const [option, isSet] of given)
    if (isSet) refuse([option], "says how to follow, but there is no server: give server or servers");
}

/** In the mode "latest" nothing overflows. */
function refuseIdleOverflow(options: ParsedOptions, servers: Network["servers"]): void {
  const why = 'is for servers that are followed in the mode "every": give mode: "every"';
  const paces = servers.map(({ pace }) => pace);
  for (const [i, [path, own]] of eachServer(options).entries())
    if (own.overflow === "disconnect" && paces[i]!.mode !== "every") refuse([...path, "overflow"], why);
  const isUsed = paces.some(({ mode, overflow }) => mode === "every" && overflow === "disconnect");
  if (options.overflow === "disconnect" && !isUsed) refuse(["overflow"], why);
}

function refuseListening({ secrets, insecure, uniqueNames }: ParsedOptions, given: object): void {
  const why = "but this node does not listen: give listen";
  if (secrets) refuse(["secrets"], `say who may follow, ${why}`);
  const { queueBytesMax, connectionsMax } = given as Partial<ParsedOptions>;
  const sizes = { queueBytesMax: queueBytesMax !== undefined, connectionsMax: connectionsMax !== undefined };
  for (const [option, isSet] of Object.entries({ ...sizes, insecure, uniqueNames }))
    if (isSet) refuse([option], `is about those who follow, ${why}`);
}

/** Who gives certificates believes that what travels is encrypted; who gives origins, that pages come in. */
function refuseUnusedDoors({ tls, origins, hosts }: ParsedOptions, { listen, servers }: Network): void {
  const addresses = [...listen, ...servers.map(({ address }) => address)];
  if (tls && !addresses.some(isTls))
    refuse(
      ["tls"],
      "encrypts what goes to and from addresses that begin with tls: or wss:, but there is none: give one",
    );
  if (listen.some(({ kind }) => kind === "ws" || kind === "wss")) return;
  for (const [option, isSet] of Object.entries({ origins, hosts }))
    if (isSet)
      refuse([option], "say who may come in by a ws: or wss: address, but listen has none: give one");
}

/** Where the address says so; by other names it finds itself at its door. */
function refuseItself(options: ParsedOptions, { listen, servers }: Network): void {
  const i = servers.findIndex(({ key }) => listen.some((address) => formatAddress(address) === key));
  if (i < 0) return;
  const [path] = eachServer(options)[i]!;
  refuse(path, `is ${servers[i]!.key}, where this node itself listens: give the address of another one`);
}

function refuse(path: readonly PropertyKey[], why: string): never {
  fail("INVALID_OPTION", `start(): ${path.join(".")} ${why}, or leave it out`, { path });
}

/** What is said for each server by itself, in the order in which they are followed, and where it stands. */
function eachServer({ server, servers = [] }: ParsedOptions): [path: PropertyKey[], own: FollowingOptions][] {
  const own = (each: ServerOption): FollowingOptions => (typeof each === "object" ? each : {});
  const first: [PropertyKey[], FollowingOptions][] = server === undefined ? [] : [[["server"], own(server)]];
  return [
    ...first,
    ...servers.map((each, i): [PropertyKey[], FollowingOptions] => [["servers", i], own(each)]),
  ];
}

/** A node of a mesh follows the metadata all the same. */
function refuseEmptyMaps(options: ParsedOptions): void {
  for (const [path, { maps }] of [[[], options] as const, ...eachServer(options)])
    if (maps?.length === 0)
      fail(
        "INVALID_OPTION",
        `start(): option ${[...path, "maps"].join(".")}: an empty list follows nothing: leave it out to follow every array, or name regions`,
        { path: [...path, "maps"] },
      );
}
