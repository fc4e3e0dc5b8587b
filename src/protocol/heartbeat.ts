import { Reader, Writer } from "./cursor.ts";

/**
 * Whether the peer is alive. Both sides send a PING every `everyMs`, whatever else they send: a side that only receives a
 * long delta would otherwise be silent, and an answer to a PING that waits behind that delta would come too late. Whoever
 * hears nothing for two periods takes the peer for dead.
 */
export interface Heartbeat {
  readonly everyMs: number;
  readonly heardAt: number;
  readonly pingedAt: number;
  /** PINGs sent so far; the number of the newest is what it carries. */
  readonly pings: number;
  /** The newest PING has been answered. */
  readonly answered: boolean;
}

export function heartbeat(everyMs: number, now: number): Heartbeat {
  return { everyMs, heardAt: now, pingedAt: now, pings: 0, answered: true };
}

export function heard(life: Heartbeat, now: number): Heartbeat {
  return now > life.heardAt ? { ...life, heardAt: now } : life;
}

/** When {@link beat} has something to do. */
export function heartbeatDeadline(life: Heartbeat): number {
  return Math.min(life.heardAt + 2 * life.everyMs, life.pingedAt + life.everyMs);
}

/** Asked at any time, at the latest at the deadline. */
export function beat(
  life: Heartbeat,
  now: number,
): { readonly kind: "quiet" | "ping"; readonly life: Heartbeat } | { readonly kind: "dead" } {
  let current = life;
  if (now - heartbeatDeadline(life) > life.everyMs / 2) {
    // We were the ones who were away (a blocked event loop, a stopped process): the peer gets one more period.
    current = heard(life, now - life.everyMs);
  }
  if (now - current.heardAt >= 2 * current.everyMs) return { kind: "dead" };
  if (now - current.pingedAt < current.everyMs) return { kind: "quiet", life: current };
  return { kind: "ping", life: ping(current, now) };
}

/** One more PING is sent; the next one is due a period later. */
export function ping(life: Heartbeat, now: number): Heartbeat {
  return { ...life, pingedAt: now, pings: life.pings + 1, answered: false };
}

/** What a PING carries: its number, u64. */
export function pingBytes(life: Heartbeat): Uint8Array {
  return new Writer(8).u64(life.pings).bytes;
}

/** The number of the PING that a PONG answers; 0: none of ours. */
export function numberOf(life: Heartbeat, opaque: Uint8Array): number {
  const reader = new Reader(opaque, "PONG");
  const number = reader.u32() + reader.u32() * 2 ** 32; // whatever is in it, it is no fault
  return number <= life.pings ? number : 0;
}

/** The round trip of a PONG that answers the newest PING; null for any other, which is proof of life all the same. */
export function answered(
  life: Heartbeat,
  opaque: Uint8Array,
  now: number,
): { readonly life: Heartbeat; readonly ms: number | null } {
  const wanted = pingBytes(life);
  if (life.answered || !wanted.every((byte, index) => byte === opaque[index])) return { life, ms: null };
  return { life: { ...life, answered: true }, ms: Math.max(0, now - life.pingedAt) };
}
