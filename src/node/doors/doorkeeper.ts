import { type Address, formatAddress, isLoopback, parseAddress } from "../../transport/address.ts";
import { type DoorStats, noDoor } from "./counters.ts";

/** Links that have not passed the handshake yet: all of them together, and those from one address of another machine. */
export interface StrangerLimits {
  readonly strangersMax: number;
  readonly strangersPerAddressMax: number;
}

export const defaultStrangerLimits: StrangerLimits = Object.freeze({
  strangersMax: 256,
  strangersPerAddressMax: 8,
});

/** The default limits where so many links may stand altogether: strangers take at most half of them. */
export function limitsWithin(linksMax: number): StrangerLimits {
  const half = Math.max(Math.ceil(linksMax / 2), 1);
  return { ...defaultStrangerLimits, strangersMax: Math.min(defaultStrangerLimits.strangersMax, half) };
}

/** So many wrong proofs within `periodMs`, and an address has to wait until the oldest of them is so old. */
export const failuresMax = 10;
export const periodMs = 60_000;

/** Where that address is of this machine, its links are heard after so long at most instead, ms: a second is left for the handshake. */
export const holdMsMax = 1_500;

/** Addresses whose failures are remembered; with more, those go first that failed first. */
const addressesMax = 4096;

/** What the doorkeeper calls on a link that has to go. */
export interface Stranger {
  readonly address: string;
  /** Somebody else needs the place. */
  evict(): void;
}

/**
 * Who may stand at the door: counts the links that have not said who they are, makes room by sending away the one that has stood
 * there longest (an honest one is inside within milliseconds), and refuses addresses that guess at secrets, or slows them down.
 */
export class Doorkeeper {
  /** Of its door as a whole; whoever looks after another part of it counts there. */
  readonly counters: { -readonly [Name in keyof DoorStats]: number } = { ...noDoor };
  readonly #limits: StrangerLimits;
  readonly #now: () => number;
  /** In the order in which they came. */
  readonly #strangers = new Set<Stranger>();
  readonly #perAddress = new Map<string, number>();
  /** Moments of the last failures, by address. */
  readonly #failures = new Map<string, number[]>();

  constructor(now: () => number, limits: StrangerLimits = defaultStrangerLimits) {
    this.#now = now;
    this.#limits = limits;
  }

  get strangers(): number {
    return this.#strangers.size;
  }

  /** One more at the door. Those for whom there is no room are told so. */
  enter(stranger: Stranger): void {
    const { strangersMax, strangersPerAddressMax } = this.#limits;
    const { address } = stranger;
    const fromThere = this.#perAddress.get(address) ?? 0;
    if (fromThere >= strangersPerAddressMax && !isHere(address)) this.#evictOldest(address);
    else if (this.#strangers.size >= strangersMax) this.#evictOldest(this.#mostCrowded());
    this.#strangers.add(stranger);
    this.#perAddress.set(address, (this.#perAddress.get(address) ?? 0) + 1);
  }

  /** It has come in, or gone. A second time is nothing. */
  leave(stranger: Stranger): void {
    if (!this.#strangers.delete(stranger)) return;
    const left = this.#perAddress.get(stranger.address)! - 1;
    if (left > 0) this.#perAddress.set(stranger.address, left);
    else this.#perAddress.delete(stranger.address);
  }

  #evictOldest(address: string): void {
    for (const stranger of this.#strangers) {
      if (stranger.address !== address) continue;
      this.counters.evicted++;
      this.leave(stranger);
      return stranger.evict();
    }
  }

  #mostCrowded(): string {
    let [crowded, most] = ["", 0];
    for (const [address, count] of this.#perAddress) if (count > most) [crowded, most] = [address, count];
    return crowded;
  }

  /** Whether this address has guessed so often of late that its proofs are not looked at. */
  isBarred(address: string): boolean {
    return !isHere(address) && this.#guesses(address);
  }

  /**
   * How long a link from there is not heard, ms. On this machine an honest program has the same address as one that guesses, so refusing
   * would lock both out. At random, so that in a crowd where the oldest have to go some are heard before that, of either kind.
   */
  holdMs(address: string, random: () => number): number {
    return isHere(address) && this.#guesses(address) ? random() * holdMsMax : 0;
  }

  #guesses(address: string): boolean {
    const failures = this.#failures.get(address);
    if (!failures) return false;
    return failures.length >= failuresMax && failures[0]! > this.#now() - periodMs;
  }

  /** A barred address has tried again. */
  turnedAway(): void {
    this.counters.turnedAway++;
  }

  /** A proof from there was wrong. */
  failed(address: string): void {
    this.counters.failedProofs++;
    const failures = this.#failures.get(address) ?? [];
    failures.push(this.#now());
    if (failures.length > failuresMax) failures.shift();
    this.#failures.delete(address);
    this.#failures.set(address, failures);
    if (this.#failures.size <= addressesMax) return;
    for (const oldest of this.#failures.keys()) return void this.#failures.delete(oldest);
  }
}

/** All network addresses of this machine: programs behind one proxy, or a thousand of one user, are many. */
const here = "this machine";

export function isHere(address: string): boolean {
  return address === here || address.startsWith("unix:");
}

/**
 * What counts as one address: the machine, without its port; of IPv6 the network, the first 64 bits, which one household has. Each unix
 * socket is one of its own, because its file says who may use it. What is no address is this machine.
 */
export function addressOf(remote: string): string {
  const address = parsed(remote);
  if (address?.kind === "unix") return formatAddress(address);
  if (address === null || isLoopback(address)) return here;
  const { host } = address;
  return host.includes(":") && !host.includes(".") ? networkOf(host) : host.toLowerCase();
}

function parsed(remote: string): Address | null {
  try {
    return parseAddress(remote);
  } catch {
    return null;
  }
}

function networkOf(host: string): string {
  const [head = "", tail] = host.toLowerCase().split("::");
  const groups = head === "" ? [] : head.split(":");
  const last = tail ? tail.split(":") : [];
  const zeros = tail === undefined ? 0 : 8 - groups.length - last.length;
  const all = [...groups, ...Array.from({ length: zeros }, () => "0"), ...last];
  return `${all
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(":")}::/64`;
}
