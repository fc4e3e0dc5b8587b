/** Behind a name that there is not: which one was meant, if that is clear, or else which there are. */
export function nearest(name: string, known: readonly string[]): string {
  const editsMax = Math.min(2, Math.floor(name.length / 3));
  const [best] = known
    .map((each) => ({ each, edits: editsBetween(name.toLowerCase(), each.toLowerCase()) }))
    .sort((a, b) => a.edits - b.edits);
  return best && best.edits <= editsMax ? `: did you mean ${best.each}?` : `, only ${known.join(", ")}`;
}

/** Letters to be put in, left out or changed (Levenshtein): one row of the table at a time. */
function editsBetween(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (const [i, letter] of [...a].entries()) {
    const above = row;
    row = [i + 1];
    for (let j = 0; j < b.length; j++)
      row.push(Math.min(above[j]! + Number(letter !== b[j]), above[j + 1]! + 1, row[j]! + 1));
  }
  return row.at(-1)!;
}
