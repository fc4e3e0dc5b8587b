import { isCompanion, withCompanions } from "../../array/companion.ts";
import { makeSchema, type Schema } from "../../array/schema.ts";
import type { HybridClock } from "../../delta/stamp.ts";
import { fail, MemblastError } from "../../errors.ts";
import type { NodeConfig } from "../options/config.ts";
import { followedRuns } from "./ownership.ts";
import { Storage } from "./storage.ts";

type Config = Pick<NodeConfig, "arrays" | "metaBytesMax" | "mesh" | "listen" | "sharing" | "servers">;

/** The arrays that the options name; null: those of the first server. */
export function ownSchema({ arrays, metaBytesMax }: Config): Schema | null {
  return arrays.length > 0 ? makeSchema(arrays, metaBytesMax) : null;
}

/**
 * The arrays of a server as those of a node that has none of its own. Who passes them on keeps the stamps of a mesh too, so that a mesh
 * may reach through it; who only looks leaves them out.
 */
export function adoptedSchema(theirs: Schema, { mesh, listen }: Config): Schema {
  if (mesh) return makeSchema(withCompanions(theirs.arrays), theirs.metaBytesMax);
  if (listen.length > 0) return theirs;
  const arrays = theirs.arrays.filter((array) => !isCompanion(array.name));
  return makeSchema(arrays, theirs.metaBytesMax);
}

/**
 * A node's own memory: private, or shared as its options say.
 * @throws EXISTS, INVALID_REGION, INVALID_OPTION, and what {@link Storage.createShared} throws
 */
export function openStorage(name: string, schema: Schema, config: Config, clock: HybridClock): Storage {
  followedRuns(schema, config); // before there is anything to take back
  const stamping = config.mesh ? clock : null;
  const storage = config.sharing
    ? sharedStorage(name, schema, config.sharing, stamping)
    : Storage.createPrivate(schema, stamping);
  try {
    if (!storage.isWriter && config.servers.length > 0) {
      const text = `Node ${name}: another node owns the segment, and only the owner can follow servers`;
      fail("EXISTS", text, { name });
    }
    storage.follow(followedRuns(storage.schema, config));
    return storage;
  } catch (error) {
    storage.close();
    throw error;
  }
}

/** What a segment of that name holds already may be of use to somebody: only the caller can say. */
function sharedStorage(
  name: string,
  schema: Schema,
  sharing: NonNullable<Config["sharing"]>,
  clock: HybridClock | null,
): Storage {
  try {
    return Storage.createShared(name, schema, sharing, clock);
  } catch (error) {
    if (!(error instanceof MemblastError) || error.code !== "SCHEMA_MISMATCH") throw error;
    const advice =
      "take another name, or remove that one by clean({ names, persistent: true }) once nobody uses it";
    return fail("SCHEMA_MISMATCH", `${error.message}: ${advice}`, error.details, error);
  }
}
