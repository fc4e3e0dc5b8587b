import type { FaultCode } from "../../protocol/fault.ts";
import type { World } from "../runtime/world.ts";

/** How long to wait before what was refused with LIMIT is asked for again, ms. */
const againMs = 1000;

/** By then every allowance that comes back with time has come back: who is refused so often in a row asks for too much. */
const refusalsMax = 15;

/** Asks again for what was refused for the moment only: so much in so short a time. */
export class Asking {
  readonly #world: World;
  readonly #ask: () => void;
  #refusals = 0;
  #cancel: (() => void) | null = null;

  constructor(world: World, ask: () => void) {
    this.#world = world;
    this.#ask = ask;
  }

  get isWaiting(): boolean {
    return this.#cancel !== null;
  }

  /** Whether it will be asked for again. */
  refused(code: FaultCode): boolean {
    if (code !== "LIMIT" || ++this.#refusals >= refusalsMax) {
      this.#refusals = 0;
      return false;
    }
    this.#cancel ??= this.#world.after(againMs, () => {
      this.#cancel = null;
      this.#ask();
    });
    return true;
  }

  accepted(): void {
    this.#refusals = 0;
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = null;
  }
}
