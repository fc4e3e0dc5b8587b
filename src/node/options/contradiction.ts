import { fail } from "../../errors.ts";
import type { ParsedOptions } from "./options.ts";

/** INVALID_OPTION for options of start() that are right by themselves and make no sense together. */
export function refuseContradictions(options: ParsedOptions): void {
  const { server, servers = [], mesh, listen, secrets } = options;
  if (!mesh) refuseEmptyMaps(mapsOf(options));
  if (server === undefined && servers.length === 0) refuseFollowing(options);
  if (secrets && (listen === undefined || (Array.isArray(listen) && listen.length === 0)))
    refuse("secrets", "say who may follow this node, but it does not listen: give listen");
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
  if (maps) refuse("maps", "say what to follow, but there is no server: give server or servers");
  const given = Object.entries({
    mode: mode === "every",
    overflow: overflow === "disconnect",
    maxRate: typeof maxRate === "number",
    secret: secret !== undefined,
    checkHash,
  });
  for (const [option, isSet] of given)
    if (isSet) refuse(option, "says how to follow, but there is no server: give server or servers");
}

function refuse(option: string, why: string): never {
  fail("INVALID_OPTION", `start(): ${option} ${why}, or leave it out`, { path: [option] });
}

type Maps = ParsedOptions["maps"];
type Server = NonNullable<ParsedOptions["server"]>;

/** All lists of maps, and where they stand. */
function mapsOf({ maps, server, servers = [] }: ParsedOptions): [path: PropertyKey[], maps: Maps][] {
  const own = (each: Server | undefined) => (typeof each === "object" ? each.maps : undefined);
  return [
    [["maps"], maps],
    [["server", "maps"], own(server)],
    ...servers.map((each, i): [PropertyKey[], Maps] => [["servers", i, "maps"], own(each)]),
  ];
}

/** A node of a mesh follows the metadata all the same. */
function refuseEmptyMaps(lists: readonly [path: PropertyKey[], maps: Maps][]): void {
  for (const [path, maps] of lists)
    if (maps?.length === 0)
      fail(
        "INVALID_OPTION",
        `start(): option ${path.join(".")}: an empty list follows nothing: leave it out to follow every array, or name regions`,
        { path },
      );
}
