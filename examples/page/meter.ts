/** How fast a count grows: over the last two seconds, looked at a few times a second. */
export class Meter {
  readonly #samples: { at: number; count: number }[] = [];
  readonly #windowMs = 2000;

  /** The growth a second, with `count` as it is now. */
  take(at: number, count: number): number {
    const samples = this.#samples;
    samples.push({ at, count });
    while (samples.length > 2 && at - samples[1]!.at >= this.#windowMs) samples.shift();
    const first = samples[0]!;
    return at > first.at ? ((count - first.count) * 1000) / (at - first.at) : 0;
  }
}
