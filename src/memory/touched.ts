/**
 * Which blocks a transaction may have changed: a bit for each, and above every 32 of those words a bit that says where to look. The
 * memory is C's, which walks and clears it at the end of the transaction.
 */
export class Touched {
  readonly #words: Uint32Array;
  readonly #summary: Uint32Array;
  readonly #blockBytes: number;

  constructor(words: Uint32Array, summary: Uint32Array, blockBytes: number) {
    this.#words = words;
    this.#summary = summary;
    this.#blockBytes = blockBytes;
  }

  add(offset: number, bytes: number): void {
    const first = Math.floor(offset / this.#blockBytes);
    const last = Math.floor((offset + bytes - 1) / this.#blockBytes);
    if (first === last) this.#addBlock(first);
    else this.#addBlocks(first, last);
  }

  /** The stretches that are marked, as pairs of first block and count. */
  blocks(): number[] {
    const pairs: number[] = [];
    for (let i = 0; i < this.#summary.length; i++) {
      if (this.#summary[i] === 0) continue;
      for (let word = 32 * i; word < Math.min(32 * i + 32, this.#words.length); word++)
        this.#collect(word, pairs);
    }
    return pairs;
  }

  #collect(word: number, pairs: number[]): void {
    const bits = this.#words[word]!;
    for (let bit = 0; bits >>> bit !== 0 && bit < 32; bit++) {
      if (((bits >>> bit) & 1) === 0) continue;
      const block = 32 * word + bit;
      const last = pairs.length - 2;
      if (last >= 0 && pairs[last]! + pairs[last + 1]! === block) pairs[last + 1]!++;
      else pairs.push(block, 1);
    }
  }

  #addBlock(block: number): void {
    this.#words[block >>> 5]! |= 1 << (block & 31);
    this.#summary[block >>> 10]! |= 1 << ((block >>> 5) & 31);
  }

  #addBlocks(first: number, last: number): void {
    for (let block = first; block <= last;) {
      if ((block & 31) === 0 && block + 31 <= last) {
        this.#words[block >>> 5] = 0xffffffff;
        this.#summary[block >>> 10]! |= 1 << ((block >>> 5) & 31);
        block += 32;
      } else this.#addBlock(block++);
    }
  }
}
