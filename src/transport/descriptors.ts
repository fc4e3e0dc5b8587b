import { readdirSync, readFileSync, statSync } from "node:fs";

/** Files of which links leave that many to everything else: segments, modules, pipes, databases. */
const filesReserved = 64;
/** With fewer left, whoever connects is turned away. */
const filesFreeMin = 16;
/** With fewer left, listeners are closed: what is waiting to be accepted, and cannot be, would keep the process busy. */
const filesFreeToListen = 4;
/** How often that is looked at, ms. */
const lookMs = 250;

/** The soft limit on open files of this process, of which every link is one. */
export function filesMax(): number {
  try {
    const soft = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
    if (soft !== undefined) return Number(soft);
  } catch {
    // no /proc: assume what systems commonly allow
  }
  return 1024;
}

/** Files that this process has open. A microsecond; on kernels before 6.2, which do not count them, one for every ten files. */
export function filesOpen(): number {
  try {
    return statSync("/proc/self/fd").size || readdirSync("/proc/self/fd").length - 1;
  } catch (error) {
    return (error as { code?: string }).code === "EMFILE" ? Infinity : 0;
  }
}

/** Links that a process with so many files may have. */
export function linksMaxOf(files: number): number {
  return Math.max(files - filesReserved, 0);
}

/** A listener that can be closed for a while. */
export interface Suspendable {
  suspend(): void;
  resume(): void;
}

/** Looks after all listeners of a process, which have one limit on open files. */
class DescriptorWatch {
  readonly #listeners = new Set<Suspendable>();
  #timer: ReturnType<typeof setInterval> | undefined;
  #filesMax = filesMax();
  #isExhausted = false;

  /** Links that may stand in this process. */
  get linksMax(): number {
    return linksMaxOf(this.#filesMax);
  }

  /** Whether so few files are left that nobody more should come in. */
  get isScarce(): boolean {
    return this.#filesMax - filesOpen() < filesFreeMin;
  }

  add(listener: Suspendable): void {
    this.#filesMax = filesMax();
    this.#listeners.add(listener);
    this.#timer ??= setInterval(() => this.#look(), lookMs).unref();
  }

  remove(listener: Suspendable): void {
    this.#listeners.delete(listener);
    if (this.#listeners.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#isExhausted = false;
  }

  #look(): void {
    const free = this.#filesMax - filesOpen();
    if (free < filesFreeToListen) this.#isExhausted = true;
    else if (free >= filesFreeMin) this.#isExhausted = false;
    else return;
    for (const listener of [...this.#listeners])
      if (this.#isExhausted) listener.suspend();
      else listener.resume();
  }
}

export const descriptors = new DescriptorWatch();
