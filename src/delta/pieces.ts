/**
 * Copies to be made, as triples of bytes: offset in an image, offset in a staging buffer, length. Scatter copies each
 * from staging to the image, gather the other way round. Neighbours that continue each other on both sides are one.
 */
export class Pieces {
  private triples = new Float64Array(24);
  private used = 0;

  get count(): number {
    return this.used / 3;
  }

  /** A view of the triples, valid until the next change. */
  get data(): Float64Array<ArrayBuffer> {
    return this.triples.subarray(0, this.used);
  }

  add(imageOffset: number, stagingOffset: number, length: number): void {
    const { triples, used } = this;
    if (used > 0) {
      const before = triples[used - 1]!;
      if (triples[used - 3]! + before === imageOffset && triples[used - 2]! + before === stagingOffset) {
        triples[used - 1] = before + length;
        return;
      }
    }
    if (used === triples.length) {
      this.triples = new Float64Array(used * 2);
      this.triples.set(triples);
    }
    this.triples[used] = imageOffset;
    this.triples[used + 1] = stagingOffset;
    this.triples[used + 2] = length;
    this.used = used + 3;
  }

  clear(): void {
    this.used = 0;
  }
}
