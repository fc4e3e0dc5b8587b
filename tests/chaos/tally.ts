/** Different things that are counted one by one: texts with numbers in them would grow without end. */
const kindsMax = 100;

/** One more of it, by name or among the others. */
export function tallyUp(tally: Record<string, number>, what: string): void {
  const name = what in tally || Object.keys(tally).length < kindsMax ? what : "others";
  tally[name] = (tally[name] ?? 0) + 1;
}
