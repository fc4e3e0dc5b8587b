import { hashingPurse } from "../publishing/allowance.ts";
import type { Purse } from "../publishing/purse.ts";
import { isHere } from "./doorkeeper.ts";

/** Addresses whose purses are remembered; with more, those go first that have not come for the longest time. */
const addressesMax = 4096;

/**
 * What may be hashed for followers: those of one address of another machine have one purse together, so that coming again brings no new
 * credit. On this machine each link has its own, because programs of many users have that address.
 */
export class Purses {
  readonly #now: () => number;
  readonly #byAddress = new Map<string, Purse>();

  constructor(now: () => number) {
    this.#now = now;
  }

  of(address: string): Purse {
    if (isHere(address)) return hashingPurse(this.#now);
    const purse = this.#byAddress.get(address) ?? hashingPurse(this.#now);
    this.#byAddress.delete(address);
    this.#byAddress.set(address, purse);
    if (this.#byAddress.size > addressesMax) this.#byAddress.delete(this.#byAddress.keys().next().value!);
    return purse;
  }
}
