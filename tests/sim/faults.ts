/** What can go wrong in a world. */
export const faults = [
  /** A link breaks; both ends know. */
  "cut",
  /** Bytes take their time. */
  "delay",
  /** Bytes arrive after younger ones that took another link. */
  "reorder",
  /** A read brings only some of the bytes that are there, down to one. */
  "partial",
  /** A bit is not what was sent. */
  "flip",
  /** A bit of a delta is another one in memory than its checksum was of. Who does not verify could not know, and is spared. */
  "spoil",
  /** The network, or one node with all its timers, stands still for a while. */
  "stall",
  /** Some nodes do not reach the others: links break, hang for a while, or are dead without a word for ever. */
  "partition",
  /** A node dies without a word, and comes back without its memory. */
  "reboot",
  /** The same, with its memory. */
  "restart",
  /** The time of day jumps, forth and back, and differs from node to node. */
  "clock",
] as const;

export type Fault = (typeof faults)[number];

export function noFaults(): Record<Fault, number> {
  return Object.fromEntries(faults.map((fault) => [fault, 0])) as Record<Fault, number>;
}

/** "all", "none", or names with commas between them. */
export function parseFaults(text: string): ReadonlySet<Fault> {
  if (text === "all") return new Set(faults);
  const names = text === "none" ? [] : text.split(",");
  for (const name of names)
    if (!(faults as readonly string[]).includes(name))
      throw new Error(`There is no fault ${name}; there are ${faults.join(", ")}`);
  return new Set(names as Fault[]);
}
