/** What a node cannot know by itself but the network: time and chance. */
export interface Platform {
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
}

/** As Bun and browsers have them alike. */
export const platform: Platform = Object.freeze({
  now: () => performance.now(),
  wallMs: () => Date.now(),
  random: Math.random,
  randomBytes: (count: number) => crypto.getRandomValues(new Uint8Array(count)),
  after(ms: number, action: () => void) {
    const timer = setTimeout(action, ms);
    return () => clearTimeout(timer);
  },
  soon: queueMicrotask,
});
