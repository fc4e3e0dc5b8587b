import type { Cluster } from "./cluster.ts";
import { type Box, type Parent, type Plan, tableShape } from "./member.ts";
import type { Random } from "./random.ts";

/** Relays below one source; several sources, and parts of them; everybody writes everything. */
export const layouts = ["tree", "maps", "mesh"] as const;

export type Layout = (typeof layouts)[number];

const everything = (cells: number) => ({ first: 0, count: cells });

function drawParent(
  { weather: { odds } }: Cluster,
  random: Random,
  index: number,
  boxes: readonly Box[] | null,
): Parent {
  const mode = random.chance(0.3) ? "every" : "latest";
  const maxRate = random.chance(odds.rated) ? random.pick([1, 10, 100]) : null;
  return { index, boxes, mode, maxRate };
}

function drawPlan(
  random: Random,
  index: number,
  mayKeep: boolean,
): Omit<Plan, "parents" | "writes" | "mesh"> {
  return {
    writesTable: false,
    writesMeta: false,
    checkHash: random.chance(0.5),
    secret: random.chance(0.3) ? `the secret of node ${index}` : null,
    keeps: random.chance(0.5) && mayKeep,
    listens: true,
  };
}

/** One source, and those who follow it or each other: relays of relays. */
export function drawTree(cluster: Cluster, random: Random, mayKeep: boolean): void {
  const count = 2 + random.below(4);
  for (let index = 0; index < count; index++) {
    const plan = { ...drawPlan(random, index, mayKeep), mesh: false };
    if (index > 0)
      cluster.add({
        ...plan,
        parents: [drawParent(cluster, random, random.below(index), null)],
        writes: null,
      });
    else
      cluster.add({
        ...plan,
        parents: [],
        writes: everything(cluster.weather.odds.cells),
        writesTable: true,
        writesMeta: true,
      });
  }
}

/** Several sources, and others with a part of each of several of those before them, and cells of their own. */
export function drawMaps(cluster: Cluster, random: Random, mayKeep: boolean): void {
  const { cells } = cluster.weather.odds;
  const sources = 1 + random.below(3);
  const count = sources + 1 + random.below(3);
  for (let index = 0; index < count; index++) {
    const plan = { ...drawPlan(random, index, mayKeep), mesh: false };
    if (index < sources) cluster.add({ ...plan, parents: [], writes: everything(cells), writesTable: true });
    else if (random.chance(0.2))
      cluster.add({
        ...plan,
        parents: [drawParent(cluster, random, random.below(index), null)],
        writes: null,
      });
    else cluster.add({ ...plan, ...drawParts(cluster, random, index) });
  }
}

/** The main array in quarters: one of the node's own, the others each from somebody else. */
function drawParts(cluster: Cluster, random: Random, index: number): Pick<Plan, "parents" | "writes"> {
  const { cells } = cluster.weather.odds;
  const quarter = cells / 4;
  const servers = Array.from({ length: index }, (_, server) => server);
  const parents: Parent[] = [];
  for (let part = 0; part < 3 && servers.length > 0; part++) {
    const [server] = servers.splice(random.below(servers.length), 1);
    const boxes: Box[] = [
      { array: null, start: [random.below(cells - quarter)], shape: [quarter], to: [part * quarter] },
    ];
    if (part === 0) boxes.push(drawTableBox(random));
    parents.push(drawParent(cluster, random, server!, boxes));
  }
  return { parents, writes: { first: 3 * quarter, count: quarter } };
}

function drawTableBox(random: Random): Box {
  const shape = tableShape.map((length) => 1 + random.below(length));
  const place = () => shape.map((length, axis) => random.below(tableShape[axis]! - length + 1));
  return { array: "table", start: place(), shape, to: place() };
}

/** Whom each of `count` nodes follows, by their numbers: such that every write reaches everybody. */
function drawGraph(random: Random, count: number): Set<number>[] {
  const graph = Array.from({ length: count }, () => new Set<number>());
  const kind = random.pick(["ring", "ways", "full", "chain", "any"]);
  for (const [node, servers] of graph.entries()) {
    const next = (node + 1) % count;
    const before = (node + count - 1) % count;
    if (kind === "ring" || kind === "any") servers.add(next);
    if (kind === "ways") servers.add(next).add(before);
    if (kind === "chain" && node + 1 < count) servers.add(next);
    if (kind === "chain" && node > 0) servers.add(before);
    if (kind === "full") for (let other = 0; other < count; other++) servers.add(other);
    servers.delete(node);
  }
  return graph;
}

/** Everybody writes everything, and follows some of the others: loops, and several ways from one to another. */
export function drawMesh(cluster: Cluster, random: Random, mayKeep: boolean): void {
  const { cells } = cluster.weather.odds;
  const count = 2 + random.below(5);
  const graph = drawGraph(random, count);
  for (const [index, servers] of graph.entries()) {
    const parents = [...servers].map((server) => drawParent(cluster, random, server, null));
    // Further links need not carry everything.
    for (let other = 0; other < count; other++)
      if (other !== index && !servers.has(other) && random.chance(0.2))
        parents.push(
          drawParent(cluster, random, other, random.chance(0.5) ? null : [drawSame(random, cells)]),
        );
    const plan = { ...drawPlan(random, index, mayKeep), parents, mesh: true };
    cluster.add({ ...plan, writes: everything(cells), writesTable: true, writesMeta: true });
  }
  if (random.chance(0.3)) addOnlooker(cluster, random, mayKeep);
}

/** Follows a node of the mesh without being one of it: nobody may follow it in turn. */
function addOnlooker(cluster: Cluster, random: Random, mayKeep: boolean): void {
  const index = cluster.members.length;
  const { cells } = cluster.weather.odds;
  const boxes: Box[] = [
    { array: null, start: [0], shape: [cells], to: [0] },
    { array: "table", start: [0, 0], shape: tableShape, to: [0, 0] },
  ];
  const parents = [drawParent(cluster, random, random.below(index), boxes)];
  const plan = { ...drawPlan(random, index, mayKeep), secret: null, listens: false };
  cluster.add({ ...plan, parents, writes: null, mesh: false });
}

function drawSame(random: Random, cells: number): Box {
  const length = 1 + random.below(cells);
  const start = [random.below(cells - length + 1)];
  return { array: null, start, shape: [length], to: start };
}
