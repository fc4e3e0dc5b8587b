import { dtypeBytes } from "../../array/dtype.ts";
import { arrayText, type Schema } from "../../array/schema.ts";
import { shapeText } from "../../array/shape.ts";
import { type Region, regionRuns, regionText } from "../../delta/region.ts";
import { intersects, noRuns, type Runs, union } from "../../delta/runs.ts";
import { fail } from "../../errors.ts";
import type { NodeConfig, ServerConfig } from "../options/config.ts";
import { targetsOf } from "./linking.ts";

/**
 * The bytes of this node that servers write, each of them one server. Without a mesh that is what keeps two writers from undoing each
 * other's work unnoticed.
 * @throws INVALID_REGION where a map's target is not in this node's arrays; INVALID_OPTION where two servers would write one element
 */
export function followedRuns(schema: Schema, { servers, mesh }: Pick<NodeConfig, "servers" | "mesh">): Runs {
  let followed = noRuns;
  const earlier: { server: ServerConfig; runs: Runs; targets: readonly Region[] }[] = [];
  for (const server of servers) {
    const targets = targetsOf(server, schema);
    const runs = regionRuns(schema, targets);
    const rival = mesh ? undefined : earlier.find((each) => intersects(each.runs, runs));
    if (rival) refuse(rival, { server, targets });
    earlier.push({ server, runs, targets });
    followed = union(followed, runs);
  }
  return mesh ? noRuns : followed;
}

function refuse(
  a: { server: ServerConfig; targets: readonly Region[] },
  b: { server: ServerConfig; targets: readonly Region[] },
): never {
  const text = (targets: readonly Region[]) =>
    targets.length === 1 ? regionText(targets[0]!) : `${targets.length} regions`;
  return fail(
    "INVALID_OPTION",
    `start(): ${a.server.key} (to ${text(a.targets)}) and ${b.server.key} (to ${text(b.targets)}) would write the same elements: ` +
      "give each server a region of its own with maps, or pass mesh: true, so that the last writer wins",
    { path: ["servers"], servers: [a.server.key, b.server.key] },
  );
}

/** What a transaction has changed so far. */
interface Changing {
  /** The offset of a byte that another process follows and is not as it was; null: all are. */
  changedElsewhere(): number | null;
  /** The offset of a byte in `runs` that is not as it was; null: all are. */
  changedWithin(runs: Runs): number | null;
}

/** @throws FOLLOWED where the transaction in progress changed bytes that a server writes, by this process or by another one */
export function checkFollowed(schema: Schema, transaction: Changing, followed: Runs): void {
  const own = followed.length > 0 ? transaction.changedWithin(followed) : null;
  const offset = own ?? transaction.changedElsewhere();
  if (offset === null) return;
  const { text, array } = elementAt(schema, offset);
  const where = own === null ? " in another process" : "";
  fail(
    "FOLLOWED",
    `write(): ${text} follows a server${where}, which would undo this: write there, follow less with maps, or pass mesh: true to ` +
      "every node that it goes through, so that the last writer wins",
    { array },
  );
}

/** @throws EXISTS */
export function refuseClaim(schema: Schema, offset: number): never {
  const { text, array } = elementAt(schema, offset);
  return fail(
    "EXISTS",
    `start(): another process follows a server into ${text}: give each of them elements of its own with maps`,
    { array },
  );
}

/** The element that a byte of the image is of. */
function elementAt(schema: Schema, offset: number): { text: string; array: string | null } {
  const array = schema.arrays.find((each) => offset >= each.offset && offset < each.offset + each.bytes)!;
  let element = Math.floor((offset - array.offset) / dtypeBytes(array.dtype));
  const index = array.shape.toReversed().map((dimension) => {
    const i = element % dimension;
    element = Math.floor(element / dimension);
    return i;
  });
  return { text: `${arrayText(array.name)} at ${shapeText(index.reverse())}`, array: array.name };
}
