/** The view of a node with a 2-d array of numbers: the version per peer, the metadata, and the cells. */
import type { Node } from "../src/index.ts";
import type { View } from "./program.ts";
import { move, table, type Paint } from "./terminal.ts";

/** `title` is asked at each view. The view remembers the cells it showed, so that the next one colours what moved. */
export function grid(node: Node, ink: Paint, title: () => string): View {
  let before: number[][] = [];
  const cells = () => node.read((a) => a.toArray()) as number[][];
  const meta = () => JSON.stringify(node.meta ?? null);
  return {
    lines() {
      const last = before;
      before = cells();
      return [
        title(),
        `versions ${ink.bold(peers(node.version))}  ${ink.dim(meta())}`,
        ...table(
          ["", ...(before[0] ?? []).map((_, c) => `${c}  `)].map((title) => ({ title })),
          before.map((row, r) => [
            ink.dim(String(r)),
            ...row.map((cell, c) => move(cell, last[r]?.[c], ink)),
          ]),
          ink,
        ),
      ];
    },
    line: () => `versions ${peers(node.version)}; sum ${sum(cells()).toFixed(2)}; ${meta()}; ${title()}`,
    json: () => ({ version: node.version, meta: node.meta ?? null, values: cells() }),
  };
}

function peers(version: Readonly<Record<string, number>>): string {
  return Object.entries(version)
    .map(([name, number]) => `${name} ${number}`)
    .join(", ");
}

function sum(cells: readonly (readonly number[])[]): number {
  return cells.flat().reduce((total, cell) => total + cell, 0);
}
