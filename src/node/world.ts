import { systemTransport } from "../transport/endpoint.ts";
import type { Transport } from "../transport/link.ts";
import { platform } from "./platform.ts";

/** What a node cannot know by itself: time, chance and the network. A simulation passes its own. */
export interface World {
  /** Milliseconds on a clock that never goes back. */
  now(): number;
  /** Milliseconds since 1970 as this machine believes; may jump. */
  wallMs(): number;
  /** Uniform in [0, 1). */
  random(): number;
  /** Unpredictable bytes, for names and nonces. */
  randomBytes(count: number): Uint8Array;
  /** Calls back once after at least `ms`; the result calls it off. */
  after(ms: number, action: () => void): () => void;
  /** Calls back when the current job is done. */
  soon(action: () => void): void;
  readonly transport: Transport;
}

export const realWorld: World = Object.freeze({ ...platform, transport: systemTransport });
