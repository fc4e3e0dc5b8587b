import type { Member } from "./member.ts";

/** Cells of larger worlds are too many to look at one by one. */
const cellsMax = 1000;

interface Cells {
  readonly values: Float64Array;
  readonly stamps: BigUint64Array;
}

/**
 * What was written in a mesh, cell by cell of the main array: no node may ever have a value with a stamp that nobody gave it, go back
 * to an earlier one, or end with another than the latest.
 */
export class Ledger {
  violation: string | null = null;
  /** By cell: stamps, and what was written with them; by several nodes at one moment, perhaps. */
  readonly #written: Map<bigint, number[]>[] = [];
  /** The stamps that each member had when somebody last looked. */
  readonly #seen = new Map<number, BigUint64Array>();
  /** A node forgot what perhaps nobody else had. */
  #isLossy = false;

  /** Runs a write of a member and notes what it wrote. */
  write(member: Member, write: () => void): void {
    const now = cellsOf(member);
    if (now === null) return write();
    const before = { values: now.values.slice(), stamps: now.stamps.slice() };
    write();
    for (let cell = 0; cell < now.values.length; cell++) {
      const [stamp, value] = [now.stamps[cell]!, now.values[cell]!];
      const isChanged = value !== before.values[cell];
      if (isChanged && stamp <= before.stamps[cell]!)
        this.#violate(`n${member.index} wrote cell ${cell}, but not after what was there`);
      if (!isChanged && stamp !== before.stamps[cell])
        this.#violate(`n${member.index} stamped cell ${cell}, which it did not change`);
      if (isChanged) this.#note(cell, stamp, value);
    }
  }

  #note(cell: number, stamp: bigint, value: number): void {
    const written = (this.#written[cell] ??= new Map<bigint, number[]>());
    const values = written.get(stamp);
    if (values) values.push(value);
    else written.set(stamp, [value]);
  }

  /** Looks at all cells of one member. */
  check(member: Member): void {
    const now = cellsOf(member);
    if (now === null) return;
    const seen = this.#seen.get(member.index);
    for (let cell = 0; cell < now.values.length; cell++) {
      const [stamp, value] = [now.stamps[cell]!, now.values[cell]!];
      if (seen && stamp < seen[cell]!) this.#violate(`cell ${cell} of n${member.index} went back`);
      const isKnown = stamp === 0n ? value === 0 : this.#written[cell]?.get(stamp)?.includes(value);
      if (!isKnown) this.#violate(`n${member.index} has ${value} in cell ${cell}, which nobody wrote then`);
    }
    this.#seen.set(member.index, now.stamps.slice());
  }

  forget(member: Member): void {
    this.#isLossy = true;
    this.#seen.delete(member.index);
  }

  /** When all is quiet: every cell has what was written last. */
  checkLatest(member: Member): void {
    this.check(member);
    const now = cellsOf(member);
    if (now === null || this.#isLossy) return;
    for (const [cell, written] of this.#written.entries()) {
      if (!written) continue;
      let latest = 0n;
      for (const stamp of written.keys()) if (stamp > latest) latest = stamp;
      if (now.stamps[cell] !== latest || now.values[cell] !== Math.max(...written.get(latest)!))
        this.#violate(`cell ${cell} of n${member.index} is not what was written last`);
    }
  }

  #violate(what: string): void {
    this.violation ??= what;
  }
}

function cellsOf({ node, plan }: Member): Cells | null {
  if (!node || !plan.mesh) return null;
  const values = node.ndarray().data as Float64Array;
  if (values.length > cellsMax) return null;
  return { values, stamps: node.ndarray("@stamps").data as BigUint64Array };
}
