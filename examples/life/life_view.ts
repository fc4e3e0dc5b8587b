/** How a world, or a region of it, looks; and what of it is compared with the other programs. */
import { z } from "zod";
import type { NdArray, Node } from "../../src/index.ts";
import { sha256 } from "../digests.ts";
import { bitmap, room } from "../picture.ts";
import type { View } from "../program.ts";
import type { Paint } from "../terminal.ts";

/** The metadata of a version. */
const lifeMeta = z.object({ generation: z.number().int().nonnegative() });

export type LifeMeta = z.infer<typeof lifeMeta>;

/** The world in the main array of `node`. */
export function lifeView(node: Node, ink: Paint): (title: string) => View {
  const look = () =>
    node.read((world, { meta }) => {
      const [rows = 0, columns = 0] = world.shape;
      const bits = world.data as Uint8Array;
      const alive = bits.reduce((sum, bit) => sum + bit, 0);
      const generation = lifeMeta.safeParse(meta).data?.generation;
      const headline = `generation ${generation ?? "–"}, ${alive} of ${rows * columns} cells alive`;
      return { bits: bits.slice(), rows, columns, alive, headline, meta };
    });
  return (title) => ({
    lines() {
      const world = look();
      const { lines, shown } = bitmap(world, room(2));
      const isCut = shown.rows < world.rows || shown.columns < world.columns;
      const part = isCut
        ? `  the top left ${shown.rows}x${shown.columns} of ${world.rows}x${world.columns}`
        : "";
      return [title, `${ink.bold(world.headline)}${ink.dim(part)}`, ...lines.map((line) => ink.up(line))];
    },
    line: () => `${look().headline}; ${title}`,
    json() {
      const { bits, columns, rows, alive, meta } = look();
      const row = (_: unknown, r: number) =>
        Array.from(bits.subarray(r * columns, (r + 1) * columns), (bit) => (bit ? "#" : ".")).join("");
      return { version: node.version, meta: meta ?? null, alive, rows: Array.from({ length: rows }, row) };
    },
  });
}

const tileCells = 64;

/**
 * SHA-256 of every 64x64 tile of the world that lies within the node's main array, whose first cell is cell `top`, `left`
 * of the world: what a client of a region has in common with the others.
 */
export function tileDigests(node: Node, top = 0, left = 0): Record<string, string> {
  const firstIn = (start: number) => (tileCells - (start % tileCells)) % tileCells;
  return node.read((world) => {
    const [rows = 0, columns = 0] = world.shape;
    const digests: Record<string, string> = {};
    for (let r = firstIn(top); r + tileCells <= rows; r += tileCells)
      for (let c = firstIn(left); c + tileCells <= columns; c += tileCells)
        digests[`tile ${top + r},${left + c}`] = digest(world.slice([r, c], [tileCells, tileCells]));
    return digests;
  });
}

function digest(tile: NdArray): string {
  return sha256(Uint8Array.from(tile as NdArray<"bool">, Number));
}
