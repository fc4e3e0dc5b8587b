import { describe, expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import { Cells } from "../../src/memory/cells.ts";
import { Segment } from "../../src/memory/segment.ts";

setDefaultTimeout(30_000);

const widths = [1, 2, 4, 8] as const;
const count = 40; // stamps over several blocks
const imageBytes = 1024;

/** What cells hold: for each element a stamp and a value, compared as numbers. */
type State = readonly { readonly stamp: bigint; readonly value: bigint }[];

/** The obvious way to merge. */
function later(a: State[number], b: State[number]): State[number] {
  if (a.stamp !== b.stamp) return a.stamp > b.stamp ? a : b;
  return a.value >= b.value ? a : b;
}

class Memory implements Disposable {
  readonly segment = Segment.createPrivate({ schemaText: "{}", imageBytes, metaOffset: imageBytes - 64 });
  readonly place;
  readonly cells: Cells;
  readonly working = new Uint8Array(this.segment.buffer("working", 0, imageBytes));
  readonly committed = new Uint8Array(this.segment.buffer("committed", 0, imageBytes));

  constructor(itemBytes: number) {
    this.place = { values: 64, itemBytes, stamps: 512, count };
    this.cells = new Cells(this.segment, [this.place]);
  }

  set(state: State, elements: Iterable<number> = state.keys()): void {
    for (const i of elements) {
      this.#put(this.place.values + i * this.place.itemBytes, this.place.itemBytes, state[i]!.value);
      this.#put(this.place.stamps + 8 * i, 8, state[i]!.stamp);
    }
  }

  setValue(i: number, value: bigint): void {
    this.#put(this.place.values + i * this.place.itemBytes, this.place.itemBytes, value);
  }

  #put(offset: number, bytes: number, value: bigint): void {
    this.working.set(bytesOf(value).subarray(0, bytes), offset);
    this.segment.touch(offset, bytes);
  }

  get state(): State {
    return stateIn(this.committed, this.place.itemBytes);
  }

  write(action: () => void): void {
    this.segment.begin();
    action();
    this.segment.commit();
  }

  [Symbol.dispose](): void {
    this.segment.close();
  }
}

function bytesOf(value: bigint): Uint8Array {
  return new Uint8Array(BigUint64Array.of(value).buffer);
}

function stateIn(image: Uint8Array, itemBytes: number): State {
  return Array.from({ length: count }, (_, i) => {
    const value = new Uint8Array(8);
    value.set(image.slice(64 + i * itemBytes, 64 + (i + 1) * itemBytes));
    const stamp = image.slice(512 + 8 * i, 512 + 8 * i + 8);
    return { stamp: new BigUint64Array(stamp.buffer)[0]!, value: new BigUint64Array(value.buffer)[0]! };
  });
}

/** An image as another node has it. */
function imageOf(state: State, itemBytes: number): Uint8Array {
  using memory = new Memory(itemBytes);
  memory.write(() => memory.set(state));
  return memory.committed.slice();
}

const always = 2 ** 53 - 2;
const everything = Float64Array.of(0, imageBytes);

const element = (itemBytes: number) =>
  fc.record({
    // few different ones, so that equal stamps are met; and some around the borders of what is signed or a word
    stamp: fc.oneof(
      fc.bigInt(0n, 3n),
      fc.bigInt(2n ** 32n - 2n, 2n ** 32n + 2n),
      fc.bigInt(2n ** 63n - 2n, 2n ** 63n + 2n),
      fc.bigInt(0n, 2n ** 64n - 5000n),
    ),
    value: fc.oneof(fc.bigInt(0n, 2n), fc.bigInt(0n, 2n ** BigInt(8 * itemBytes) - 1n)),
  });
const state = (itemBytes: number) => fc.array(element(itemBytes), { minLength: count, maxLength: count });

describe("elements with the time of their writing", () => {
  for (const itemBytes of widths)
    test(`of ${itemBytes} bytes: a merge takes the later one, in any order, any number of times`, () => {
      const arbitrary = state(itemBytes);
      fc.assert(
        fc.property(arbitrary, arbitrary, arbitrary, (a, b, c) => {
          const expected = a.map((each, i) => later(later(each, b[i]!), c[i]!));
          for (const order of [
            [a, b, c],
            [c, a, b],
            [b, c, a, b, c],
          ]) {
            using memory = new Memory(itemBytes);
            memory.write(() => memory.set(order[0]!));
            for (const other of order.slice(1))
              memory.write(() => memory.cells.merge(imageOf(other, itemBytes), everything, always));
            expect(memory.state).toEqual(expected);
            const { version } = memory.segment;
            memory.write(() =>
              expect(memory.cells.merge(imageOf(order.at(-1)!, itemBytes), everything, always)).toBe(false),
            );
            expect(memory.segment.version).toBe(version);
          }
        }),
        { numRuns: 60 },
      );
    });

  test("only elements with a byte of theirs or of their stamps in the given runs are looked at", () => {
    using memory = new Memory(4);
    const young = Array.from({ length: count }, (_, i) => ({ stamp: BigInt(i + 1) << 11n, value: 7n }));
    const runs = Float64Array.of(0, 64 + 4 * 2 + 1, 512 + 8 * 3 + 7, 2, 512 + 8 * 39, 100);
    memory.write(() => expect(memory.cells.merge(imageOf(young, 4), runs, always)).toBe(false));
    expect(memory.state.flatMap(({ value }, i) => (value === 7n ? [i] : []))).toEqual([0, 1, 2, 3, 4, 39]);
  });

  for (const itemBytes of widths)
    test(`of ${itemBytes} bytes: what a write changed is stamped, and nothing else`, () => {
      fc.assert(
        fc.property(
          state(itemBytes),
          fc.array(fc.tuple(fc.nat(count - 1), fc.bigInt(0n, 2n ** BigInt(8 * itemBytes) - 1n))),
          fc.constantFrom(0, 1, 2 ** 32 - 1, 2 ** 32, 2 ** 52, always),
          fc.constantFrom(0, 2 ** 32, 2 ** 52 + 1, always),
          (before, writes, now, limit) => {
            using memory = new Memory(itemBytes);
            memory.write(() => memory.set(before));
            const after = before.map((each) => ({ ...each }));
            memory.segment.begin();
            for (const [i, value] of writes) {
              memory.setValue(i, value);
              after[i]!.value = value;
            }
            memory.cells.stamp(now, limit, 5);
            memory.segment.commit();
            for (const [i, each] of after.entries()) {
              if (each.value === before[i]!.value) continue;
              const clock = Number(each.stamp >> 11n);
              each.stamp = (BigInt(clock >= now && clock <= limit ? clock + 1 : now) << 11n) + 5n;
            }
            expect(memory.state).toEqual(after);
          },
        ),
        { numRuns: 100 },
      );
    });

  test("what claims to be after the limit is left, wherever it stands", () => {
    using memory = new Memory(2);
    const at = (clock: number, value: bigint) => ({ stamp: BigInt(clock) << 11n, value });
    const [last, near, far] = [2 ** 53 - 2, 100, 101].map((clock) => at(clock, 9n)) as [...State];
    const theirs = Array.from({ length: count }, (_, i) => [near, far, near, near, last][i % 5]!);
    memory.write(() => expect(memory.cells.merge(imageOf(theirs, 2), everything, 100)).toBe(true));
    expect(memory.state.map(({ value }) => Number(value)).slice(0, 5)).toEqual([9, 0, 9, 9, 0]);
    memory.write(() => expect(memory.cells.merge(imageOf(theirs, 2), everything, always)).toBe(false));
    expect(memory.state).toEqual(theirs);
  });

  test("places outside of the image, and calls outside of a transaction, are refused", () => {
    using memory = new Memory(8);
    expect(() => memory.cells.stamp(1, always, 1)).toThrow(expect.objectContaining({ code: "NOT_IN_WRITE" }));
    const place = { values: 64, itemBytes: 8, stamps: 512, count: 80 };
    memory.segment.begin();
    for (const wrong of [{}, { itemBytes: 3 }, { values: 1020 }, { count: 2 ** 50 }, { stamps: 2 ** 52 }])
      expect(() => new Cells(memory.segment, [{ ...place, ...wrong }]).stamp(1, always, 1)).toThrow();
    expect(() => memory.cells.merge(new Uint8Array(imageBytes - 1), everything, always)).toThrow();
    expect(() =>
      memory.cells.merge(new Uint8Array(imageBytes), Float64Array.of(0, imageBytes + 1), always),
    ).toThrow();
    memory.segment.rollback();
  });
});
