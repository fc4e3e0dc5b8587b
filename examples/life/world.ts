/** Conway's Game of Life on a torus: what leaves the world at one edge comes in at the opposite one. */

/** A world of `rows` x `columns` cells, row by row, 1 for a living cell, of which about `share` are. */
export function randomWorld(rows: number, columns: number, share: number, random: () => number): Uint8Array {
  return Uint8Array.from({ length: rows * columns }, () => (random() < share ? 1 : 0));
}

/** A cell lives if three cells of the 3x3 around it live, or four and it is one of them. */
export function nextGeneration(cells: Uint8Array, rows: number, columns: number): Uint8Array {
  const next = new Uint8Array(cells.length);
  for (let r = 0; r < rows; r++) {
    const here = r * columns;
    const above = ((r + rows - 1) % rows) * columns;
    const below = ((r + 1) % rows) * columns;
    const three = (c: number) => cells[above + c]! + cells[here + c]! + cells[below + c]!;
    let left = three(columns - 1);
    let middle = three(0);
    for (let c = 0; c < columns; c++) {
      const right = three((c + 1) % columns);
      const box = left + middle + right;
      next[here + c] = box === 3 || (box === 4 && cells[here + c] === 1) ? 1 : 0;
      left = middle;
      middle = right;
    }
  }
  return next;
}
