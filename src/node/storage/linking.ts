import { isCompanion, isStamped, metaStamps, stampsOf } from "../../array/companion.ts";
import { arraySchema, arrayText, type ArraySchema, type Schema } from "../../array/schema.ts";
import { checkRegion, fullRegion, type Region } from "../../delta/region.ts";
import { fail, MemblastError } from "../../errors.ts";
import type { RegionLink, ServerConfig } from "../options/config.ts";

/**
 * What is followed, and where it lands: what the maps say, or every array of this node, which the server then must have too. Where both
 * sides keep stamps, those of the same elements.
 * @throws SCHEMA_MISMATCH, INVALID_REGION
 */
export function linksOf(server: ServerConfig, theirs: Schema, own: Schema): readonly RegionLink[] {
  checkMaps(server, "source", theirs);
  const links = server.links ?? equalArrays(server, theirs, own);
  if (!isStamped(theirs) || !isStamped(own)) return links;
  const stamps = links.map(({ source, target }) => ({
    source: stampsFor(source),
    target: stampsFor(target),
  }));
  const meta = fullRegion(arraySchema(own, metaStamps));
  return [...links, ...stamps, { source: meta, target: meta }];
}

/**
 * A mesh is whole: elements that lost their stamps on the way would count as written anew wherever they come back.
 * @throws SCHEMA_MISMATCH
 */
export function checkMesh(server: ServerConfig, theirs: Schema, own: OwnMemory, isPassedOn: boolean): void {
  if (isStamped(own.schema) && !isStamped(theirs))
    fail(
      "SCHEMA_MISMATCH",
      `${server.key} does not say when its elements were written: pass mesh: true there too`,
      {
        server: server.key,
      },
    );
  if (!own.stamping && isStamped(theirs) && !isStamped(own.schema) && isPassedOn)
    fail(
      "SCHEMA_MISMATCH",
      `${server.key} is of a mesh, and what is passed on from here would lack its stamps: pass mesh: true here too, or name no shape, ` +
        "arrays or maps, to pass on all of it; or do not listen",
      { server: server.key },
    );
}

interface OwnMemory {
  readonly schema: Schema;
  /** Null: it makes no stamps. */
  readonly stamping: object | null;
}

/** Where a server's elements land. @throws INVALID_REGION where a map leaves this node's arrays */
export function targetsOf(server: ServerConfig, own: Schema): readonly Region[] {
  checkMaps(server, "target", own);
  return server.links?.map((link) => link.target) ?? usersArrays(own).map(fullRegion);
}

/** INVALID_REGION, which says what map it is about, and whose arrays. */
function checkMaps({ key, links }: ServerConfig, side: "source" | "target", schema: Schema): void {
  for (const [i, link] of links?.entries() ?? [])
    try {
      checkRegion(schema, link[side]);
    } catch (error) {
      if (!(error instanceof MemblastError)) throw error;
      const whose = side === "source" ? "that server" : "this node";
      const text = `maps[${i}] for ${key}, in the arrays of ${whose}: ${error.message}`;
      throw new MemblastError(error.code, text, { ...error.details, map: i }, error);
    }
}

function usersArrays(schema: Schema): ArraySchema[] {
  return schema.arrays.filter((array) => !isCompanion(array.name));
}

function stampsFor(region: Region): Region {
  return { ...region, array: stampsOf(region.array) };
}

function equalArrays(server: ServerConfig, theirs: Schema, own: Schema): RegionLink[] {
  return usersArrays(own).map((array) => {
    const other = theirs.arrays.find((each) => each.name === array.name);
    const what = arrayText(array.name);
    if (!other)
      fail("SCHEMA_MISMATCH", `${server.key} has no ${what}: use maps to say what to follow instead`, {
        array: array.name,
      });
    if (other.dtype !== array.dtype || `${other.shape}` !== `${array.shape}`)
      fail(
        "SCHEMA_MISMATCH",
        `${what} is ${array.dtype} [${array.shape}] here and ${other.dtype} [${other.shape}] at ${server.key}: ` +
          "make them equal, or use maps to follow a region",
        { array: array.name },
      );
    return { source: fullRegion(other), target: fullRegion(array) };
  });
}
