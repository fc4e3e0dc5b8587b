import { Replica } from "../../src/node/following/replica.ts";
import type { Delta } from "../../src/protocol/assembly.ts";

type Spoiler = (delta: Delta) => Delta;

const untouched: Spoiler = (delta) => delta;
let spoiler = untouched;

const { apply } = Replica.prototype;
Replica.prototype.apply = function (delta) {
  return apply.call(this, spoiler(delta));
};

/** From now on every delta goes through this between its checksums and memory; one world at a time. */
export function spoilBy(next: Spoiler = untouched): void {
  spoiler = next;
}

/** The same delta but for one bit of its bytes, which are drawn. */
export function withFlippedBit(delta: Delta, below: (n: number) => number): Delta {
  const at = below(delta.chunks.length);
  const { runs, data } = delta.chunks[at]!;
  const spoiled = data.slice();
  spoiled[below(data.length)]! ^= 1 << below(8);
  return { ...delta, chunks: delta.chunks.with(at, { runs, data: spoiled }) };
}
