import { crc32c } from "../../src/protocol/crc32c.ts";
import { headerBytes } from "../../src/protocol/limits.ts";
import { frameTypes } from "../../src/protocol/messages.ts";
import type { Random } from "../transport/random.ts";
import { FrameCutter } from "./frame_cutter.ts";
import type { Mischief } from "./plan.ts";

/** What the proxy is to write next, and how much later than it came. */
export interface Parcel {
  readonly bytes: Uint8Array;
  readonly afterMs: number;
}

/** A frame that is to change places with the next one waits for it so long, ms. */
const swapMs = 10;

/**
 * One direction of one link: what comes in, and what is to go out. It knows neither sockets nor clocks. Where the mischief is done
 * depends on the place in the stream and on the dice, not on how the stream was cut up on its way here.
 */
export class Course {
  readonly #mischief: Mischief;
  readonly #random: Random;
  readonly #cutter: FrameCutter | null;
  #swapped: Uint8Array | null = null;
  readonly #held: Uint8Array[] = [];
  /** Bytes that have gone out. */
  sentBytes = 0;
  /** The link has to go. */
  isCut = false;
  isFlipped = false;
  duplicates = 0;
  swaps = 0;
  #stalled = false;

  constructor(mischief: Mischief, random: Random) {
    this.#mischief = mischief;
    this.#random = random;
    const { duplicatesPerMille = 0, swapsPerMille = 0, forgeriesPerMille = 0 } = mischief;
    this.#cutter = duplicatesPerMille + swapsPerMille + forgeriesPerMille > 0 ? new FrameCutter() : null;
    this.isCut = mischief.cutAfter === 0;
  }

  /** Bytes that are kept for more to come; {@link Course.release} lets go of them. */
  get heldBytes(): number {
    return this.#held.reduce((sum, { length }) => sum + length, this.#swapped?.length ?? 0);
  }

  /** How long they may be kept. */
  get holdMs(): number {
    return this.#mischief.hold?.ms ?? swapMs;
  }

  take(bytes: Uint8Array): Parcel[] {
    const whole = this.#cutter
      ? joined(this.#cutter.push(bytes).flatMap((frame) => this.#shuffle(frame)))
      : bytes;
    if (whole.length === 0) return [];
    if (!this.#mischief.hold) return this.#emit(whole);
    this.#held.push(whole.slice());
    return this.heldBytes >= this.#mischief.hold.bytes ? this.release() : [];
  }

  /** What was held back goes on as one piece. */
  release(): Parcel[] {
    const all = this.#held.splice(0);
    if (this.#swapped) all.push(this.#swapped); // there is nothing to change places with
    this.#swapped = null;
    return this.#emit(joined(all));
  }

  /** A frame, once, twice, or with the one before it that waited to change places. */
  #shuffle(frame: Uint8Array): Uint8Array[] {
    const { duplicatesPerMille = 0, swapsPerMille = 0, forgeriesPerMille = 0 } = this.#mischief;
    if (frame[4] === frameTypes.DELTA && this.#chance(forgeriesPerMille)) forge(frame);
    const waiting = this.#swapped;
    if (waiting) {
      this.#swapped = null;
      this.swaps++;
      return [frame, waiting];
    }
    if (this.#chance(swapsPerMille)) {
      this.#swapped = frame;
      return [];
    }
    if (!this.#chance(duplicatesPerMille)) return [frame];
    this.duplicates++;
    return [frame, frame];
  }

  #emit(bytes: Uint8Array): Parcel[] {
    const parcels: Parcel[] = [];
    const { sliceBytesMax, cutAfter = Infinity } = this.#mischief;
    const passed = bytes.subarray(0, Math.max(0, cutAfter - this.sentBytes));
    const altered = this.#flipped(passed);
    for (let at = 0; at < altered.length;) {
      const most = sliceBytesMax ? this.#random.between(1, sliceBytesMax) : Infinity;
      const piece = altered.subarray(at, Math.min(at + most, this.#stallBoundary(altered.length, at)));
      parcels.push({ bytes: piece, afterMs: this.#delayMs() });
      at += piece.length;
      this.sentBytes += piece.length;
    }
    if (this.sentBytes >= cutAfter) this.isCut = true;
    return parcels;
  }

  /** Where this piece ends, so that a stall begins at its byte. */
  #stallBoundary(end: number, at: number): number {
    const { stall } = this.#mischief;
    if (!stall || this.#stalled || this.sentBytes >= stall.afterBytes) return end;
    return Math.min(end, at + stall.afterBytes - this.sentBytes);
  }

  #delayMs(): number {
    const { stall, delayMs, burstsPerMille = 0 } = this.#mischief;
    if (stall && !this.#stalled && this.sentBytes >= stall.afterBytes) {
      this.#stalled = true;
      return stall.ms;
    }
    if (!delayMs) return 0;
    const ms = this.#random.between(...delayMs);
    return this.#chance(burstsPerMille) ? 10 * ms : ms;
  }

  #flipped(bytes: Uint8Array): Uint8Array {
    const { flip } = this.#mischief;
    if (!flip || this.isFlipped || flip.at < this.sentBytes || flip.at >= this.sentBytes + bytes.length)
      return bytes;
    this.isFlipped = true;
    const altered = bytes.slice();
    altered[flip.at - this.sentBytes]! ^= flip.whole ? 0xff : 1 << flip.bit;
    return altered;
  }

  #chance(perMille: number): boolean {
    return perMille > 0 && this.#random.between(1, 1000) <= perMille;
  }
}

/** Another last byte of the payload, and the checksums to it. */
function forge(frame: Uint8Array): void {
  const view = new DataView(frame.buffer, frame.byteOffset);
  const payload = frame.subarray(headerBytes, headerBytes + view.getUint32(0, true));
  payload[payload.length - 1]! ^= 1;
  view.setUint32(8, crc32c(payload), true);
  view.setUint32(12, crc32c(frame.subarray(0, 12)), true);
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  if (parts.length === 1) return parts[0]!;
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
