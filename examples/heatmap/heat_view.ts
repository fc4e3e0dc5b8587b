/** How a node with a 2-d array of heat looks. */
import { z } from "zod";
import type { Node } from "../../src/index.ts";
import { room } from "../picture.ts";
import type { View } from "../program.ts";
import type { Paint } from "../terminal.ts";
import { depth, HeatPainter } from "./heat.ts";

/** The metadata of a version. */
const heatMeta = z.object({ frame: z.number().int().nonnegative(), phase: z.number() });

export type HeatMeta = z.infer<typeof heatMeta>;

const scaleWidth = 32;

/** The values of the main array, from -1 to 1. */
export function heatView(node: Node, ink: Paint): (title: string) => View {
  const painter = new HeatPainter(-1, 1, depth(ink.colour, process.env));
  const headline = (meta: unknown) => {
    const { frame, phase } = heatMeta.safeParse(meta).data ?? {};
    return frame === undefined ? "no frame yet" : `frame ${frame}, phase ${phase?.toFixed(1)}`;
  };
  return (title) => ({
    lines: () =>
      node.read((a, { meta }) => {
        const [rows = 0, columns = 0] = a.shape;
        const picture = painter.draw({ values: a.data as Float32Array, rows, columns }, room(2));
        return [title, `${ink.bold(headline(meta))}  ${painter.scale(scaleWidth)}`, ...picture];
      }),
    line: () =>
      node.read((a, { meta }) => {
        const values = a.data as Float32Array;
        const low = values.reduce((x, y) => Math.min(x, y));
        const high = values.reduce((x, y) => Math.max(x, y));
        return `${headline(meta)}, values from ${low.toFixed(3)} to ${high.toFixed(3)}; ${title}`;
      }),
    json: () =>
      node.read((a, { meta }) => ({ version: node.version, meta: meta ?? null, values: a.toArray() })),
  });
}
