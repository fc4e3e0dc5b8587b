import type { World } from "./world.ts";

/** One timer that follows a deadline. Moving it later costs nothing: the timer that stands fires, looks, and is set again. */
export class Alarm {
  readonly #world: World;
  readonly #ring: () => void;
  #deadline: number | null = null;
  #firesAt = Infinity;
  #cancel: (() => void) | null = null;

  constructor(world: World, ring: () => void) {
    this.#world = world;
    this.#ring = ring;
  }

  /** Rings at `deadline` or shortly after; null: not at all. */
  set(deadline: number | null): void {
    this.#deadline = deadline;
    if (deadline !== null && deadline < this.#firesAt) this.#arm(deadline);
  }

  #arm(deadline: number): void {
    this.#cancel?.();
    this.#firesAt = deadline;
    this.#cancel = this.#world.after(Math.max(0, deadline - this.#world.now()), () => this.#fire());
  }

  #fire(): void {
    this.#firesAt = Infinity;
    this.#cancel = null;
    if (this.#deadline === null) return;
    if (this.#deadline <= this.#world.now()) this.#ring();
    // `ring` may have set it; where it has not, the deadline that stands is still to come
    if (this.#deadline !== null && this.#firesAt === Infinity) this.#arm(this.#deadline);
  }

  close(): void {
    this.#deadline = null;
    this.#cancel?.();
    this.#cancel = null;
    this.#firesAt = Infinity;
  }
}
