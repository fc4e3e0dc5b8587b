import { fail } from "../errors.ts";
import type { ParsedOptions } from "./options.ts";

/** INVALID_OPTION for options of start() that are right by themselves and make no sense together. */
export function refuseContradictions(options: ParsedOptions): void {
  const { maps, server, servers = [], mesh } = options;
  if (!mesh) refuseEmptyMaps(mapsOf(options));
  if (maps && !server && servers.length === 0)
    fail("INVALID_OPTION", "start(): maps say what to follow, but there is no server", { path: ["maps"] });
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
